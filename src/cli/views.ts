import { keyOf } from "../api/mesh-identity.ts";
import type { LoadedSettings } from "../config/load.ts";
import { didYouMean } from "../errors/did-you-mean.ts";
import { type IdentityView, viewDirectory } from "../stores/directory/view.ts";
import type { StoreError } from "../stores/errors.ts";
import { UsageError } from "./errors.ts";

export interface Views {
  readonly views: readonly IdentityView[];
  /** Why there may be more of them than these. */
  readonly problems: readonly StoreError[];
}

/**
 * The identities that `names` name (`NAMESPACE/NAME`, or `NAME` in any namespace); all where there are none.
 * @throws UsageError for a name that is nobody's, StoreError if it may stand in what cannot be read.
 */
export async function viewsOf({ settings }: LoadedSettings, names: readonly string[]): Promise<Views> {
  const { views, problems } = await viewDirectory(settings.store.directory);
  if (names.length === 0) return { views, problems };
  const named = names.flatMap((name) => {
    const found = views.filter(({ identity }) => keyOf(identity) === name || identity.metadata.name === name);
    if (found.length === 0) throw problems[0] ?? unknown(name, views);
    return found;
  });
  return { views: [...new Set(named)], problems };
}

function unknown(name: string, views: readonly IdentityView[]): UsageError {
  const keys = views.map(({ identity }) => keyOf(identity));
  const meant = didYouMean(name, [...keys, ...views.map(({ identity }) => identity.metadata.name)]);
  const remedy = meant === undefined ? `There are: ${keys.join(", ") || "none"}.` : `Did you mean ${meant}?`;
  return new UsageError(`there is no MeshIdentity "${name}"`, { remedy });
}
