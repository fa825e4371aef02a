import type { Exposure } from "../emissary/exposure.ts";
import type { Consumer, ContextName, MappingChange } from "../emissary/consumer.ts";
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
  /** All consumers that Envoy shows without a client certificate now. */
  observeExposures(observed: readonly Exposure[]): void;
}
