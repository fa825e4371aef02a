import type { ContextName } from "../emissary/consumer.ts";
import { ambassadorIdsOf } from "../emissary/fields.ts";
import type { Owner } from "./backend.ts";
import type { OwnedObject } from "./owned-objects.ts";
import type { Use } from "./store.ts";

/** Who names what is published, in all that Emissary reads. What is not known may be in use. */
export interface Usage {
  /** In an order that does not change by itself; nothing as long as not everything was listed. */
  ofContext(context: ContextName): readonly Use[] | undefined;
  /** Who names any of the owner's objects, or the TLSContext that it misses; as {@link ofContext}. */
  of(objects: readonly OwnedObject[], owner: Owner): readonly Use[] | undefined;
  /** As the API server has it at this moment: to be asked before what cannot be undone, as a watch may be behind. @throws ApiError */
  isContextUsedNow(context: ContextName): Promise<boolean>;
  isUsedNow(objects: readonly OwnedObject[], owner: Owner): Promise<boolean>;
}

/** Where nothing names what is published: without an Emissary. */
export const noUsage: Usage = {
  ofContext: () => [],
  of: () => [],
  isContextUsedNow: () => Promise.resolve(false),
  isUsedNow: () => Promise.resolve(false),
};

/** The context that an object is, to its consumers. */
export function contextOf({ name, seen }: OwnedObject): ContextName {
  return { name, ambassadorIds: ambassadorIdsOf(seen?.spec?.ambassador_id) };
}

/** The TLSContexts, or the Secrets, of these that are known to exist. */
export function seenOf(kind: "TLSContext" | "Secret", objects: readonly OwnedObject[]): OwnedObject[] {
  return objects.filter((object) => object.kind === kind && object.seen !== undefined);
}
