import type { Consumer, ContextName, MappingChange } from "../emissary/consumer.ts";
import type { SecretUser } from "../emissary/secret-users.ts";
import type { SecretName } from "../emissary/tls-context.ts";
import type { InformerHealth } from "../kube/informer-state.ts";
import type { Use } from "./store.ts";

/** Who names TLSContexts, in all that Emissary reads. */
export interface ContextUses {
  /** In an order that does not change by itself; nothing as long as not everything was listed: then all may be in use. */
  usesOf(context: ContextName): readonly Use[] | undefined;
  /** As the API server has it at this moment: to be asked before what cannot be undone, as a watch may be behind. @throws ApiError */
  isUsed(context: ContextName): Promise<boolean>;
  /** Hosts that name the Secret, and what annotations contain; empty as long as not everything was listed. */
  usersOf(secret: SecretName): readonly SecretUser[];
  /** Whether an object that is not `isOwn` names one of the Secrets at this moment, as {@link isUsed}. @throws ApiError */
  isAnyUsed(secrets: readonly SecretName[], isOwn: (user: SecretUser) => boolean): Promise<boolean>;
  /** Whether there is a Host of that name in an Emissary that sees one of `ambassadorIds`. */
  hasHost(name: string, ambassadorIds: readonly string[]): boolean;
  /** All consumers that name a context; nothing until every list is read. */
  all(): Iterable<Consumer> | undefined;
  readonly mappings?: MappingChange | undefined;
  /** Of the kinds that are watched for it. */
  readonly health?: readonly InformerHealth[];
  /**
   * Calls `listener` with the name of each context of which {@link usesOf} may say something new, or with Secrets
   * of which {@link usersOf} may; without either for all.
   */
  onChange(listener: (context: string | undefined, secrets?: readonly SecretName[]) => void): Disposable;
}

/** Where nothing names a TLSContext: without an Emissary. */
export const noUses: ContextUses = {
  usesOf: () => [],
  isUsed: () => Promise.resolve(false),
  usersOf: () => [],
  isAnyUsed: () => Promise.resolve(false),
  hasHost: () => false,
  all: () => [],
  onChange: () => ({ [Symbol.dispose]: () => undefined }),
};
