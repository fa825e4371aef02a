import { keyOf } from "../api/mesh-certificate.ts";
import { didYouMean } from "../text/did-you-mean.ts";
import { viewDirectory } from "../store/directory/view.ts";
import { followCluster, viewCluster, type ViewScope } from "../store/kubernetes/view.ts";
import { UsageError } from "./errors.ts";
import { labelSelector } from "./label-selector.ts";
import { someOf } from "../text/some-of.ts";
import type { ClusterPlace, CommandPlace, DirectoryPlace } from "./place.ts";
import type { IdentityView, StoreView } from "../store/store.ts";

/** Which identities a command is about: all of the place without names and selector. */
export interface Wanted {
  /** `NAMESPACE/NAME`, or `NAME` in any namespace of the place. */
  readonly names?: readonly string[];
  /** Of labels, as kubectl writes it. */
  readonly selector?: string | undefined;
}

/**
 * The identities that are wanted.
 * @throws UsageError for a name that no identity has, AttacheError if a source that cannot be read may hold
 *   it.
 */
export async function viewsOf(place: CommandPlace, wanted: Wanted): Promise<StoreView> {
  const { views, problems } =
    place.kind === "directory"
      ? await viewFolder(place, wanted)
      : merged(await Promise.all(scopesOf(place, wanted).map((scope) => viewCluster(place.api, scope))));
  const { names = [] } = wanted;
  if (names.length === 0) return { views, problems };
  const named = names.flatMap((name) => {
    const found = views.filter((view) => isNamed(view, name));
    if (found.length === 0) throw problems[0] ?? unknown(name, views);
    return found;
  });
  return { views: [...new Set(named)], problems };
}

/** The views of {@link viewsOf}, kept current. */
interface ViewsOverTime extends AsyncDisposable {
  /** Omits names that no identity has any more. */
  look(): Promise<StoreView>;
}

/**
 * Watches a cluster, so that each look costs only the changes.
 * @throws as {@link viewsOf}
 */
export async function followViews(place: CommandPlace, wanted: Wanted): Promise<ViewsOverTime> {
  const known = await viewsOf(place, wanted);
  const { names = [] } = wanted;
  const select = ({ views, problems }: StoreView): StoreView => ({
    views: names.length === 0 ? views : views.filter((view) => names.some((name) => isNamed(view, name))),
    problems,
  });
  if (place.kind === "directory") {
    return {
      look: async () => select(await viewFolder(place, wanted)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const followed = scopesOf(place, wanted).map((scope) => followCluster(place.api, scope, known));
  return {
    look: () => Promise.resolve(select(merged(followed.map(({ current }) => current)))),
    async [Symbol.asyncDispose]() {
      await Promise.all(followed.map((one) => one[Symbol.asyncDispose]()));
    },
  };
}

async function viewFolder({ loaded }: DirectoryPlace, { selector }: Wanted): Promise<StoreView> {
  const { views, problems } = await viewDirectory(loaded.settings.store.directory);
  if (selector === undefined) return { views, problems };
  const fits = labelSelector(selector);
  return { views: views.filter(({ identity }) => fits(identity.metadata.labels ?? {})), problems };
}

/** One for each namespace: the caller need not have rights in others. */
function scopesOf({ namespace }: ClusterPlace, { names = [], selector }: Wanted): readonly ViewScope[] {
  if (selector !== undefined) labelSelector(selector);
  const spaces = names.map((name) => (name.includes("/") ? name.split("/")[0] : namespace));
  const distinct = [...new Set(names.length === 0 ? [namespace] : spaces)];
  return (distinct.includes(undefined) ? [undefined] : distinct).map((one) => ({
    namespace: one,
    labelSelector: selector,
  }));
}

/** Of several scopes, which may name an identity twice. */
function merged(parts: readonly StoreView[]): StoreView {
  const [only, ...others] = parts;
  if (only !== undefined && others.length === 0) return only;
  const byKey = new Map(parts.flatMap(({ views }) => views.map((view) => [keyOf(view.identity), view])));
  const sorted = [...byKey].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return {
    views: sorted.map(([, view]) => view),
    problems: [...new Set(parts.flatMap(({ problems }) => problems))],
  };
}

/** An empty answer says so on standard error, and where it looked. */
export function sayNothingIn(
  place: CommandPlace,
  { problems, views }: StoreView,
  { selector }: Pick<Wanted, "selector">,
): void {
  if (problems.length + views.length > 0) return;
  const none = `There is no MeshCertificate${selector === undefined ? "" : ` with the labels ${selector}`} in`;
  const where =
    place.kind === "directory"
      ? `${place.loaded.settings.store.directory.identities.join(", ")} yet.`
      : place.namespace === undefined
        ? "the cluster yet."
        : `the namespace ${place.namespace}; -A looks in all.`;
  process.stderr.write(`${none} ${where}\n`);
}

function isNamed({ identity }: IdentityView, name: string): boolean {
  return keyOf(identity) === name || identity.metadata.name === name;
}

function unknown(name: string, views: readonly IdentityView[]): UsageError {
  const keys = views.map(({ identity }) => keyOf(identity));
  const meant = didYouMean(name, [...keys, ...views.map(({ identity }) => identity.metadata.name)]);
  const remedy = meant === undefined ? `There are: ${someOf(keys, 20) || "none"}.` : `Did you mean ${meant}?`;
  return new UsageError(`there is no MeshCertificate "${name}"`, { remedy });
}
