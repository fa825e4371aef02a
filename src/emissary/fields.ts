/** The fields of an object of unknown shape: a CRD may be any version's. Anything but an object has none. */
export function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** The fields of each element of a list; anything but a list has none. */
export function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

/** Empty for anything but text. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/**
 * The Emissary installations that see an object: its `spec.ambassador_id`, a list or (in older versions of
 * the API) a single one; `default` where it has none.
 */
export function ambassadorIdsOf(value: unknown): readonly string[] {
  const ids = (Array.isArray(value) ? value : [value]).filter((id): id is string => typeof id === "string");
  return ids.length > 0 ? [...new Set(ids)].slice(0, maxIds) : ["default"];
}

/** Bounds the work of {@link overlap}; no cluster has as many Emissaries. */
const maxIds = 64;

export function overlap(some: readonly string[], others: readonly string[]): boolean {
  return some.some((id) => others.includes(id));
}
