/**
 * The Emissary installations that see an object: its `spec.ambassador_id`, a list or (in older versions of the API) one
 * of them; `default` where there is none.
 */
export function ambassadorIdsOf(value: unknown): readonly string[] {
  const ids = (Array.isArray(value) ? value : [value]).filter((id): id is string => typeof id === "string");
  return ids.length > 0 ? [...new Set(ids)].slice(0, maxIds) : ["default"];
}

/** Far more than anybody has Emissaries: each is compared with each of another object's. */
const maxIds = 64;

export function overlap(some: readonly string[], others: readonly string[]): boolean {
  return some.some((id) => others.includes(id));
}
