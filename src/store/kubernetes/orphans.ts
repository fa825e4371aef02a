import { type Addressee, addresseeOf, isFor, type Possessions } from "../../api/addressee.ts";
import { type Condition, servedByOf, type Status } from "../../api/status.ts";
import { hasStatus } from "../../kube/api-error.ts";
import type { KubeClient } from "../../kube/client.ts";
import { type Informer, startInformer } from "../../kube/informer.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import type { Clock } from "../../runtime/clock.ts";
import { TimerQueue } from "../../runtime/timer-queue.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { StoredObject } from "./api-object.ts";
import { finalizerOf } from "./identity.ts";

interface OrphansOptions {
  /** Writes as the leader only. */
  readonly api: KubeClient;
  readonly actsIn: (namespace: string) => boolean;
  readonly own: Possessions;
  /** attaché's own namespace. */
  readonly home: string;
  readonly mayWrite: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Orphan {
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  readonly reason: string;
  readonly conditions: readonly Condition[];
}

/** Asks again for leadership, and repeats a failed write, after this time. */
const retryMs = 5_000;

/**
 * MeshCertificates, wherever they are, that this installation published and may no longer renew: their namespace or
 * their mesh was taken from its settings. Their status says so, as their leaf ends soon.
 */
export class Orphans implements AsyncDisposable {
  readonly #options: OrphansOptions;
  readonly #informer: Informer<Orphan>;
  readonly #unreported: TimerQueue<string>;

  constructor(options: OrphansOptions) {
    const { api, clock, logger } = options;
    this.#options = options;
    this.#unreported = new TimerQueue<string>(clock, (key) => void this.#report(key));
    this.#informer = startInformer<Orphan>({
      ...{ api, clock, logger, resource: resources.meshCertificates },
      reduce: (object) => orphanOf(object as StoredObject, options),
      changed: ({ after }) => {
        if (after !== undefined) this.#unreported.hasten(keyOf(after), 0);
      },
    });
  }

  get count(): number {
    return this.#informer.items.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#unreported[Symbol.dispose]();
    await this.#informer[Symbol.asyncDispose]();
  }

  async #report(key: string): Promise<void> {
    const orphan = this.#informer.items.get(key);
    if (orphan === undefined || isReported(orphan)) return;
    const { mayWrite } = this.#options;
    const { namespace, name, reason } = orphan;
    const logger = this.#options.logger.child({ namespace, name });
    try {
      if (mayWrite()) {
        await this.#write(orphan);
        logger.log("Orphaned", { reason });
        return;
      }
    } catch (error) {
      // Another client was faster, or it is gone: the watch reports either.
      if (hasStatus(error, 404, 409)) return;
      logger.log("StatusNotWritten", { err: error });
    }
    this.#unreported.hasten(key, retryMs);
  }

  /** A merge patch: all other fields stay what they were. */
  async #write(orphan: Orphan): Promise<void> {
    const { api, clock } = this.#options;
    const { namespace, name, resourceVersion } = orphan;
    await api.request({
      method: "PATCH",
      path: pathOf(resources.meshCertificates, { namespace, name, subresource: "status" }),
      contentType: "merge",
      body: { metadata: { resourceVersion }, status: { conditions: conditionsOf(orphan, clock.now()) } },
    });
  }
}

function keyOf({ namespace, name }: Pick<Orphan, "namespace" | "name">): string {
  return `${namespace}/${name}`;
}

function orphanOf(object: StoredObject, { actsIn, own, home }: OrphansOptions): Orphan | undefined {
  const { namespace, name, resourceVersion, finalizers = [] } = object.metadata;
  const { conditions = [], servedBy } = (object.status ?? {}) as Partial<Status>;
  // Installations in other namespaces may have the same name, and so the same finalizer.
  if (servedBy !== servedByOf(home, own.installation)) return undefined;
  const owners = finalizers.filter((one) => one.endsWith(finalizerOf("")));
  if (owners.length !== 1 || owners[0] !== finalizerOf(own.installation)) return undefined;
  const reason = reasonOf(addresseeOf(object.spec), namespace, { actsIn, own });
  if (reason === undefined) return undefined;
  return { namespace, name, resourceVersion, reason, conditions };
}

function reasonOf(
  addressee: Addressee,
  namespace: string,
  { actsIn, own }: Pick<OrphansOptions, "actsIn" | "own">,
): string | undefined {
  const isLeftTo = addressee.installation !== undefined && addressee.installation !== own.installation;
  if (isLeftTo) return undefined;
  if (!actsIn(namespace))
    return `the installation "${own.installation}" no longer acts in the namespace ${namespace}`;
  // With an installation, the reconciler reports the missing mesh.
  return isFor(addressee, own) || addressee.mesh === undefined
    ? undefined
    : `the installation "${own.installation}" no longer has the mesh "${addressee.mesh}"`;
}

function isReported({ conditions, reason }: Orphan): boolean {
  const ready = conditions.find(({ type }) => type === "Ready");
  return ready?.reason === "Orphaned" && ready.message.includes(reason);
}

function conditionsOf({ conditions, reason }: Orphan, now: Date): Condition[] {
  const before = conditions.find(({ type }) => type === "Ready");
  const ready: Condition = {
    type: "Ready",
    status: "False",
    reason: "Orphaned",
    message: `The certificate is not renewed any more: ${reason}. Add it again, or remove the consumers.`,
    lastTransitionTime: before?.status === "False" ? before.lastTransitionTime : now.toISOString(),
    ...(before?.observedGeneration !== undefined && { observedGeneration: before.observedGeneration }),
  };
  return [ready, ...conditions.filter(({ type }) => type !== "Ready")];
}
