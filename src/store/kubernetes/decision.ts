import { isDeepStrictEqual } from "node:util";
import type { Manifest } from "../../render/manifest.ts";
import type { StoredObject } from "./api-object.ts";
import { keysOf } from "./api-object.ts";
import { contentOf, isMarked, isOwnerOrHeir, observe, type Owner } from "./observed-object.ts";
import { hasPublished, type OwnedObject } from "./owned-objects.ts";

/** The object as observed: the server refuses a write that carries these once another client has written. */
export interface Precondition {
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Fields that an apply would leave in the object, as a merge patch that removes them. */
export interface StaleFields {
  readonly metadata: object;
  readonly content: object;
}

/** What makes an object as its manifest wants it. */
export type Action = { readonly kind: "nothing" } | Write;

export type Write = (
  | { readonly kind: "create" }
  | { readonly kind: "apply"; readonly precondition: Precondition }
  /** All that the manifest names is in the object, and more: an apply would change nothing. */
  | { readonly kind: "prune"; readonly precondition: Precondition; readonly stale: StaleFields }
) & {
  /** Whether the object was as it should be, and another client has changed it. */
  readonly repair: boolean;
  /** The field manager that did; unknown after a deletion. */
  readonly editor: string | undefined;
};

/** Decides from the cache alone where it is good enough, else that the object has to be read. */
export function decide(
  desired: Manifest,
  object: OwnedObject | undefined,
  owner: Owner,
): Action | { readonly kind: "read" } {
  if (object !== undefined && !isOwnerOrHeir(owner, object.owner)) return { kind: "read" };
  if (isSynced(desired, object)) return { kind: "nothing" };
  const repair = hasPublished(object, desired);
  if (object?.state === "stale") return { kind: "read" };
  if (object?.seen === undefined || object.state === "deleted") {
    return { kind: "create", repair, editor: undefined };
  }
  // Undoing another client's change may take less than an apply.
  if (repair) return { kind: "read" };
  return { kind: "apply", precondition: object.seen, repair, editor: undefined };
}

/** Decides from the object as it was just read. @param manager the field manager of this installation */
export function decideFromRead(
  desired: Manifest,
  found: StoredObject,
  object: OwnedObject | undefined,
  manager: string,
): Action {
  if (isSynced(desired, object)) return { kind: "nothing" };
  const { editor } = observe(desired.kind, found, manager);
  const cause = { repair: hasPublished(object, desired), editor };
  const { uid, resourceVersion } = found.metadata;
  const precondition = { uid, resourceVersion };
  const stale = staleFields(desired, found, manager);
  return stale !== undefined && isIncluded(desired, found)
    ? { kind: "prune", precondition, stale, ...cause }
    : { kind: "apply", precondition, ...cause };
}

/** Whether the object is known to be as `desired` wants it. */
function isSynced(desired: Manifest, object: OwnedObject | undefined): boolean {
  if (object?.seen === undefined || object.state !== "synced" || !isMarked(desired, object.seen))
    return false;
  const { content } = object.seen;
  if (content === contentOf(desired)) return true;
  return object.published?.became === content && hasPublished(object, desired);
}

/**
 * What an apply of `desired` leaves in the object: keys of `data` or `spec` that it does not name, and labels and annotations
 * that this installation has set before. `undefined` if there is nothing of the kind.
 */
export function staleFields(
  desired: Manifest,
  object: StoredObject,
  manager: string,
): StaleFields | undefined {
  const { labels, annotations } = keysOf(manager, object.metadata.managedFields);
  const metadata = {
    labels: nullsBut(labels, desired.metadata.labels),
    annotations: nullsBut(annotations, desired.metadata.annotations),
  };
  const [field, wanted] = contentFieldOf(desired);
  const foreign = nullsBut(Object.keys(object[field] ?? {}), wanted);
  const counts = [metadata.labels, metadata.annotations, foreign].map((keys) => Object.keys(keys).length);
  if (counts.every((count) => count === 0)) return undefined;
  return { metadata, content: counts[2] === 0 ? {} : { [field]: foreign } };
}

function nullsBut(keys: readonly string[], wanted: object): Readonly<Record<string, null>> {
  return Object.fromEntries(keys.filter((key) => !(key in wanted)).map((key) => [key, null]));
}

/** Whether all that `desired` names is in the object as it says. */
function isIncluded(desired: Manifest, object: StoredObject): boolean {
  const { labels, annotations } = object.metadata;
  const [field, wanted] = contentFieldOf(desired);
  return (
    includes(labels, desired.metadata.labels) &&
    includes(annotations, desired.metadata.annotations) &&
    includes(object[field], wanted)
  );
}

function includes(there: Readonly<Record<string, unknown>> = {}, wanted: object): boolean {
  return Object.entries(wanted).every(([key, value]) => isDeepStrictEqual(there[key], value));
}

function contentFieldOf(manifest: Manifest): ["data" | "spec", object] {
  return manifest.kind === "Secret" ? ["data", manifest.data] : ["spec", manifest.spec];
}
