import {
  type Backend,
  type Found,
  isOwnerOrHeir,
  type Owner,
  type Part,
  type Precondition,
} from "./backend.ts";
import { hasPublished, type OwnedObject } from "./owned-objects.ts";

/** What makes an object as it is wanted. */
export type Action = { readonly kind: "nothing" } | Write;

export interface Write {
  readonly kind: "create" | "update";
  /** What it replaces: of an update, always there. */
  readonly before?: Found | Precondition;
  /** Whether the object was as it should be, and another client has changed it. */
  readonly repair: boolean;
  /** The field manager that did; unknown after a deletion. */
  readonly editor: string | undefined;
}

type Digests = Pick<Backend, "contentOf" | "isMarked">;

/** Decides from the cache alone where it is good enough, else that the object has to be read. */
export function decide(
  desired: Part,
  object: OwnedObject | undefined,
  owner: Owner,
  digests: Digests,
): Action | { readonly kind: "read" } {
  if (object !== undefined && !isOwnerOrHeir(owner, object.owner)) return { kind: "read" };
  if (isSynced(desired, object, digests)) return { kind: "nothing" };
  if (object?.state === "stale") return { kind: "read" };
  const repair = hasPublished(object, desired);
  if (object?.seen === undefined || object.state === "deleted") {
    return { kind: "create", repair, editor: undefined };
  }
  // Undoing another client's change may take less than an update.
  if (repair) return { kind: "read" };
  return { kind: "update", before: object.seen, repair, editor: undefined };
}

/** Decides from the object as it was just read; nothing if there is none. */
export function decideFromRead(
  desired: Part,
  found: Found | undefined,
  object: OwnedObject | undefined,
  digests: Digests,
): Action {
  const repair = hasPublished(object, desired);
  if (found === undefined) return { kind: "create", repair, editor: undefined };
  if (isSynced(desired, object, digests)) return { kind: "nothing" };
  return { kind: "update", before: found, repair, editor: found.observed.editor };
}

/** Whether the object is known to be as `desired` wants it. */
function isSynced(desired: Part, object: OwnedObject | undefined, digests: Digests): boolean {
  if (object?.seen === undefined || object.state !== "synced") return false;
  if (!digests.isMarked(desired, object.seen)) return false;
  const { content } = object.seen;
  if (content === digests.contentOf(desired)) return true;
  return object.published?.became === content && hasPublished(object, desired);
}
