import { isFor, type Possessions } from "../../api/addressee.ts";
import { type Condition, type IdentityKey, keyOf, partsOf, type Status } from "../../api/mesh-certificate.ts";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { Clock } from "../../runtime/clock.ts";
import { Worker } from "../../runtime/worker.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { type IdentityRef, StoreError } from "../store.ts";
import type { StoredObject } from "./api-object.ts";
import type { Identities } from "./identities.ts";
import type { SeenIdentity } from "./identity.ts";

export interface InvalidIdentitiesPorts {
  readonly api: Pick<KubeClient, "request">;
  readonly identities: Identities;
  readonly own: Possessions;
  /** Whether this process may write now. */
  readonly mayWrite: () => boolean;
  /** Writes the status of an identity that may have no reconciler. */
  readonly report: (identity: IdentityRef, status: Status) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The identities that cannot be served, because they cannot be read or their namespace has too many: says so in their
 * status, and reads one again that there is room for. Few at a time, in turns by namespace: tenants choose how
 * many there are.
 */
export class InvalidIdentities implements AsyncDisposable {
  readonly #ports: InvalidIdentitiesPorts;
  readonly #worker: Worker<IdentityKey>;

  constructor(ports: InvalidIdentitiesPorts) {
    const { clock, logger } = ports;
    this.#ports = ports;
    this.#worker = new Worker({
      reconcile: (key) => this.#reconcile(key),
      onError: (key, error) => logger.child(partsOf(key)).log("StatusNotWritten", { err: error }),
      groupOf: (key) => key.split("/", 1).join(),
      maxConcurrentReconciles: 2,
      clock,
    });
  }

  /** To be called when the identity has become invalid, or there is room for it. */
  look(key: IdentityKey): void {
    this.#worker.enqueue(key);
  }

  /** A reconciler that goes on with the previous version of the identity does not know that it is invalid. */
  withInvalid(identity: IdentityRef, status: Status, now: Date): Status {
    const seen = this.#ports.identities.get(keyOf(identity));
    return seen !== undefined && this.#isInvalid(seen) ? withInvalid(seen, status, now) : status;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#worker[Symbol.asyncDispose]();
  }

  async #reconcile(key: IdentityKey): Promise<undefined> {
    const { identities, mayWrite, report } = this.#ports;
    if (identities.isNext(key)) await this.#readAgain(key);
    const seen = identities.get(key);
    if (!mayWrite() || seen === undefined || !this.#isInvalid(seen)) return;
    await report(seen, seen.status ?? { conditions: [] });
  }

  /** What was refused is not kept. @throws ApiError */
  async #readAgain(key: IdentityKey): Promise<void> {
    const { api, identities } = this.#ports;
    const { namespace, name } = partsOf(key);
    // For a list it has the permission.
    const { items } = await api.request<{ readonly items: readonly StoredObject[] }>({
      method: "GET",
      path: pathOf(resources.meshCertificates, { namespace }),
      query: { fieldSelector: `metadata.name=${name}` },
    });
    for (const item of items) identities.see(identities.reduce(item));
  }

  /** And it belongs to this installation. */
  #isInvalid(seen: SeenIdentity): seen is InvalidIdentity {
    return seen.content instanceof StoreError && isFor(seen.addressee, this.#ports.own);
  }
}

type InvalidIdentity = SeenIdentity & { readonly content: StoreError };

/** `status`, and in it that the identity cannot be read: what was published of it before is as good as it was. */
function withInvalid(
  { metadata, content, status: last }: InvalidIdentity,
  status: Status,
  now: Date,
): Status {
  const before = last?.conditions.find(({ type }) => type === "Published");
  const { generation } = metadata;
  const published: Condition = {
    type: "Published",
    status: "False",
    reason: content.code === "ATTACHE_STORE_TOO_MANY" ? "TooMany" : "Invalid",
    message: `${content.message}. ${content.remedy}`,
    lastTransitionTime: before?.status === "False" ? before.lastTransitionTime : now.toISOString(),
    ...(generation !== undefined && { observedGeneration: generation }),
  };
  const others = status.conditions.filter(({ type }) => type !== "Published");
  return { ...status, conditions: [...others, published] };
}
