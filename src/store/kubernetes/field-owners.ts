import type { FieldSet, ManagedFields } from "./api-object.ts";

/** The field manager of nudges: attaché's, and not an editor. */
export const nudger = "attache-nudge";

/** Names of labels and annotations. */
export interface MetadataKeys {
  readonly labels: readonly string[];
  readonly annotations: readonly string[];
}

/** The labels and annotations that `manager` has set. A create counts as an update of that manager, not as an apply. */
export function keysOf(manager: string, fields: readonly ManagedFields[] = []): MetadataKeys {
  const own = fields.filter((entry) => entry.manager === manager && entry.subresource === undefined);
  const keys = (under: string) => [
    ...new Set(own.flatMap(({ fieldsV1 }) => keysIn(fieldsV1?.["f:metadata"]?.[`f:${under}`]))),
  ];
  return { labels: keys("labels"), annotations: keys("annotations") };
}

/** The last editor other than `manager`, if there is one. */
export function lastEditor(manager: string, fields: readonly ManagedFields[] = []): string | undefined {
  const own: readonly (string | undefined)[] = [manager, nudger];
  const others = fields.filter((entry) => !own.includes(entry.manager) && entry.subresource === undefined);
  return others.toSorted((one, other) => compare(one.time ?? "", other.time ?? "")).at(-1)?.manager;
}

function keysIn(set: FieldSet | undefined): string[] {
  return Object.keys(set ?? {}).flatMap((field) => (field.startsWith("f:") ? field.slice(2) : []));
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
