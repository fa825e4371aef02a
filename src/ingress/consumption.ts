import type { Consumer } from "../emissary/consumer.ts";
import type { MappingChange } from "../emissary/snapshots.ts";
import type { ContextName } from "../emissary/uses.ts";
import type { IdentityRef } from "../store/store.ts";

/** What a store knows of the use that the ingress makes of what is published, and does about it. */
export interface Consumption {
  /** Everybody who names a TLSContext; nothing as long as not everything was listed. */
  consumers(): Iterable<Consumer> | undefined;
  /** Calls `listener` when {@link consumers} may say something new. */
  onConsumers(listener: () => void): Disposable;
  /** The contexts that are published for the identity, former names included. */
  contextsOf(identity: IdentityRef): readonly ContextName[];
  readonly mappings: MappingChange | undefined;
  /**
   * Touches a TLSContext of the identity, so that Emissary reads everything anew. Resolves once it is written.
   * @throws AttacheError
   */
  nudge(identity: IdentityRef, context: string): Promise<void>;
  /** Tells whoever looks at the consumer that it is exposed. */
  tellExposed(consumer: Consumer, message: string): void;
}
