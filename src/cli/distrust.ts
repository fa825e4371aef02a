import { type IdentityKey, keyOf } from "../api/mesh-certificate.ts";
import { distrustedOf, plainFingerprint, requestAnnotations } from "../api/requests.ts";
import { UsageError } from "./errors.ts";
import { annotate, type CommandPlace, placeOf } from "./place.ts";
import type { PlaceOptions } from "./options.ts";
import { viewsOf } from "./views.ts";
import type { IdentityView } from "../store/store.ts";

/** Ends the retention of a root by a permanent annotation. Requires the right to edit the MeshCertificate. */
export async function distrust(
  fingerprint: string,
  names: readonly string[],
  options: PlaceOptions,
): Promise<void> {
  await using place = await placeOf(options);
  for (const line of await distrustIn(place, fingerprint, names)) process.stdout.write(`${line}\n`);
}

/**
 * Returns what was done for each identity.
 * @throws UsageError, before anything is done, for a root that no identity retains or that a mesh still
 *   lists.
 */
export async function distrustIn(
  place: CommandPlace,
  text: string,
  names: readonly string[],
): Promise<string[]> {
  const { views } = await viewsOf(place, { names });
  const root = rootNamed(text, views);
  const holders = views.filter((view) => stateOf(root, view) === "retiring");
  const lines: string[] = [];
  for (const { identity } of holders) {
    const all = new Set([...distrustedOf(identity), root]);
    await annotate(place, identity, requestAnnotations.distrust, [...all].join());
    lines.push(`${keyOf(identity)}: the root ${root} is distrusted`);
  }
  const already = views.filter(
    (view) => !holders.includes(view) && distrustedOf(view.identity).includes(root),
  );
  return [...lines, ...keysOf(already).map((key) => `${key}: the root ${root} was distrusted before`)];
}

/** The full fingerprint of the root. No mesh of `views` lists it. */
function rootNamed(text: string, views: readonly IdentityView[]): string {
  const prefix = plainFingerprint(text);
  if (!/^[0-9a-f]{8,64}$/.test(prefix)) {
    throw new UsageError(`"${text}" is no fingerprint`, { remedy: showThem });
  }
  const known = views.flatMap((view) => [
    ...(view.status?.roots ?? []).map(({ fingerprint }) => fingerprint),
    ...distrustedOf(view.identity),
  ]);
  const [root, ...others] = new Set(known.filter((fingerprint) => fingerprint.startsWith(prefix)));
  if (root === undefined) {
    throw new UsageError(`no root of this fingerprint is published: ${prefix}`, { remedy: showThem });
  }
  if (others.length > 0) {
    throw new UsageError(`several roots begin so: ${[root, ...others].join(", ")}`, {
      remedy: "Give more digits.",
    });
  }
  const listing = views.filter((view) => stateOf(root, view) === "active");
  if (listing.length === 0) return root;
  throw new UsageError(`the mesh still lists the root ${root}, for ${keysOf(listing).join(", ")}`, {
    remedy:
      "Have the mesh drop it first: what a mesh lists is published, and its workloads may have no other. " +
      "Where only some are still to trust it, name the others.",
  });
}

const showThem = "`attache inspect NAME -o wide` shows the roots and their fingerprints.";

function stateOf(root: string, { status }: IdentityView): "active" | "retiring" | undefined {
  return status?.roots?.find(({ fingerprint }) => fingerprint === root)?.state;
}

function keysOf(views: readonly IdentityView[]): IdentityKey[] {
  return views.map(({ identity }) => keyOf(identity));
}
