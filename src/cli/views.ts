import { keyOf } from "../api/mesh-certificate.ts";
import { didYouMean } from "../text/did-you-mean.ts";
import { viewDirectory } from "../store/directory/view.ts";
import { followCluster, viewCluster } from "../store/kubernetes/view.ts";
import { UsageError } from "./errors.ts";
import type { ClusterPlace, CommandPlace } from "./place.ts";
import type { IdentityView, StoreView } from "../store/store.ts";

/**
 * The identities that `names` name (`NAMESPACE/NAME`, or `NAME` in any namespace); all where there are none.
 * @throws UsageError for a name that no identity has, AttacheError if a source that cannot be read may hold
 *   it.
 */
export async function viewsOf(place: CommandPlace, names: readonly string[]): Promise<StoreView> {
  const { views, problems } =
    place.kind === "directory"
      ? await viewDirectory(place.loaded.settings.store.directory)
      : await viewCluster(place.api, spaceOf(place, names));
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
export async function followViews(place: CommandPlace, names: readonly string[]): Promise<ViewsOverTime> {
  const known = await viewsOf(place, names);
  const select = ({ views, problems }: StoreView): StoreView => ({
    views: names.length === 0 ? views : views.filter((view) => names.some((name) => isNamed(view, name))),
    problems,
  });
  if (place.kind === "directory") {
    const { directory } = place.loaded.settings.store;
    return {
      look: async () => select(await viewDirectory(directory)),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const followed = followCluster(place.api, spaceOf(place, names), known);
  return {
    look: () => Promise.resolve(select(followed.current)),
    [Symbol.asyncDispose]: () => followed[Symbol.asyncDispose](),
  };
}

function isNamed({ identity }: IdentityView, name: string): boolean {
  return keyOf(identity) === name || identity.metadata.name === name;
}

/** All namespaces if a name has one. */
function spaceOf({ namespace }: ClusterPlace, names: readonly string[]): string | undefined {
  return names.some((name) => name.includes("/")) ? undefined : namespace;
}

function unknown(name: string, views: readonly IdentityView[]): UsageError {
  const keys = views.map(({ identity }) => keyOf(identity));
  const meant = didYouMean(name, [...keys, ...views.map(({ identity }) => identity.metadata.name)]);
  const remedy = meant === undefined ? `There are: ${keys.join(", ") || "none"}.` : `Did you mean ${meant}?`;
  return new UsageError(`there is no MeshCertificate "${name}"`, { remedy });
}
