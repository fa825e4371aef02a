import { keyOf } from "../api/mesh-identity.ts";
import type { LoadedSettings } from "../config/load.ts";
import { didYouMean } from "../errors/did-you-mean.ts";
import { type IdentityView, viewDirectory } from "../stores/directory/view.ts";
import { UsageError } from "./errors.ts";

/** The identities that `names` name (`NAMESPACE/NAME`, or `NAME` in any namespace); all where there are none. */
export async function viewsOf(
  { settings }: LoadedSettings,
  names: readonly string[],
): Promise<IdentityView[]> {
  const views = await viewDirectory(settings.store.directory);
  if (names.length === 0) return views;
  return names.flatMap((name) => {
    const found = views.filter(({ identity }) => keyOf(identity) === name || identity.metadata.name === name);
    if (found.length === 0) throw unknown(name, views);
    return found;
  });
}

function unknown(name: string, views: readonly IdentityView[]): UsageError {
  const keys = views.map(({ identity }) => keyOf(identity));
  const meant = didYouMean(name, [...keys, ...views.map(({ identity }) => identity.metadata.name)]);
  const remedy = meant === undefined ? `There are: ${keys.join(", ") || "none"}.` : `Did you mean ${meant}?`;
  return new UsageError(`there is no MeshIdentity "${name}"`, { remedy });
}
