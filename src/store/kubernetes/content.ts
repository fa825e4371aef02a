import type { Manifest } from "../../render/manifest.ts";
import { digestOf } from "../digest.ts";
import type { StoredObject } from "./api-object.ts";

/** Digest of what an object holds: the data of a Secret, whose type cannot change, or the spec of a TLSContext. */
export function contentOf(object: Manifest): string {
  return digestOf(partOf(object)[1]);
}

/** As {@link contentOf}; nothing if the server sent the metadata alone. */
export function contentIn(
  kind: Manifest["kind"],
  { type, data = {}, spec }: StoredObject,
): string | undefined {
  if (kind === "Secret") return type === undefined ? undefined : digestOf(data);
  return spec === undefined ? undefined : digestOf(spec);
}

/** The keys of `data` or `spec` that the object has and `manifest` does not, as a merge patch that takes them out. */
export function foreignKeys(manifest: Manifest, object: StoredObject): object | undefined {
  const [field, wanted] = partOf(manifest);
  const foreign = Object.keys(object[field] ?? {}).filter((key) => !(key in wanted));
  return foreign.length === 0 ? undefined : { [field]: nulls(foreign) };
}

export function nulls(keys: readonly string[]): Readonly<Record<string, null>> {
  return Object.fromEntries(keys.map((key) => [key, null]));
}

function partOf(manifest: Manifest): ["data" | "spec", object] {
  return manifest.kind === "Secret" ? ["data", manifest.data] : ["spec", manifest.spec];
}
