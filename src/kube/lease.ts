import type { Clock } from "../runtime/clock.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { ApiError, hasCode } from "./api-error.ts";
import type { ApiRequest, KubeClient } from "./client.ts";
import type { ApiObject, ObjectMeta } from "./object.ts";
import { apiVersionOf, pathOf, resources } from "./resources.ts";

/** A `coordination.k8s.io/v1` Lease, as far as it is read and written. */
export interface Lease extends ApiObject {
  readonly spec?: LeaseSpec;
}

export interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

/** Of the Lease that the replicas of an installation share. */
export function leaseName(installation: string): string {
  return `attache-${installation}`;
}

/** On the Lease: when and by which code its leader refused the settings in its file. */
export const settingsRefused = "attache.dev/settings-refused";

/** Of the Lease; `undefined` removes one. */
export type LeaseAnnotations = Readonly<Record<string, string | undefined>>;

/** The revision of the replica that started last. */
const revisionAnnotation = "attache.dev/revision";

interface LeaseClientOptions {
  readonly api: KubeClient;
  readonly name: string;
  readonly namespace: string;
  readonly holder: string;
  readonly revision: string | undefined;
  readonly durationMs: number;
  /** For each request; one that hangs must leave time for another. */
  readonly requestMs: number;
  /** Asked for with each write. */
  readonly annotations?: (() => LeaseAnnotations) | undefined;
  readonly clock: Clock;
}

/**
 * A lease that was acquired or renewed, and when the request was sent: no other replica can have seen it
 * before.
 */
export interface HeldLease {
  readonly lease: Lease;
  readonly sentAtMs: number;
}

/**
 * The requests for one Lease. Each write carries the resourceVersion that was read, so that of several only
 * one succeeds.
 */
export class LeaseClient {
  readonly #options: LeaseClientOptions;

  constructor(options: LeaseClientOptions) {
    this.#options = options;
  }

  /** `undefined` if there is none. @throws ApiError */
  async read(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      return await this.#send({ method: "GET", path: this.#path() }, signal);
    } catch (error) {
      if (hasCode(error, "ATTACHE_KUBERNETES_NOT_FOUND")) return undefined;
      throw error;
    }
  }

  /** Creates the lease, or takes or renews `last`. @throws ApiError */
  async acquireOrRenew(last: Lease | undefined, signal: AbortSignal): Promise<HeldLease> {
    const { name, namespace, holder, durationMs, annotations, clock } = this.#options;
    const present = last?.metadata ?? { name, namespace };
    const isRenewal = last?.spec?.holderIdentity === holder;
    const metadata = annotated(present, { ...annotations?.(), ...(!isRenewal && this.#mark) });
    const body = heldBy(holder, metadata, last?.spec, durationMs, clock.now());
    const sentAtMs = clock.elapsedMs();
    const lease = await this.#send(
      last === undefined
        ? { method: "POST", path: pathOf(resources.leases, { namespace }), body }
        : { method: "PUT", path: this.#path(), body },
      signal,
    );
    return { lease, sentAtMs };
  }

  /** Releases the lease. @throws ApiError */
  async release(last: Lease, signal: AbortSignal): Promise<void> {
    const body = released(last, this.#options.clock.now());
    await this.#send({ method: "PUT", path: this.#path(), body }, signal);
  }

  /** Notes this replica's revision as the newest. @returns whether it was not. @throws ApiError */
  async announce({ metadata, spec }: Lease, signal: AbortSignal): Promise<boolean> {
    if (!this.isOutdated({ metadata })) return false;
    const body = { ...head(annotated(metadata, this.#mark)), spec };
    await this.#send({ method: "PUT", path: this.#path(), body }, signal);
    return true;
  }

  /** Whether another revision than this replica's is the newest. */
  isOutdated({ metadata: { annotations } }: Lease): boolean {
    const { revision } = this.#options;
    return revision !== undefined && annotations?.[revisionAnnotation] !== revision;
  }

  get #mark(): LeaseAnnotations {
    const { revision } = this.#options;
    return revision === undefined ? {} : { [revisionAnnotation]: revision };
  }

  #path(): string {
    const { name, namespace } = this.#options;
    return pathOf(resources.leases, { namespace, name });
  }

  async #send(request: ApiRequest, signal: AbortSignal): Promise<Lease> {
    const { api, clock, requestMs, name } = this.#options;
    const late = () =>
      new ApiError("ATTACHE_KUBERNETES_TIMEOUT", `no answer about the lease ${name} in time`);
    using limit = withTimeout(requestMs, late, clock, signal);
    return await api.request<Lease>({ ...request, signal: limit.signal });
  }
}

function annotated(metadata: Partial<ObjectMeta>, more: LeaseAnnotations) {
  return { ...metadata, annotations: { ...metadata.annotations, ...more } };
}

/** The lease as `holder` has it from now on; `last` is what it was, if there was one. */
function heldBy(
  holder: string,
  metadata: LeaseMeta,
  last: LeaseSpec | undefined,
  durationMs: number,
  now: Date,
) {
  const time = microTime(now);
  const isRenewal = last?.holderIdentity === holder;
  return {
    ...head(metadata),
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: Math.ceil(durationMs / 1000),
      acquireTime: isRenewal ? (last.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: last === undefined ? 0 : (last.leaseTransitions ?? 0) + (isRenewal ? 0 : 1),
    },
  };
}

/** The lease without a holder: any replica may take it at once. */
function released({ metadata, spec }: Lease, now: Date) {
  const { holderIdentity: _holder, ...rest } = spec ?? {};
  return { ...head(metadata), spec: { ...rest, leaseDurationSeconds: 1, renewTime: microTime(now) } };
}

type LeaseMeta = Partial<Omit<ObjectMeta, "annotations">> & { readonly annotations?: LeaseAnnotations };

function head(metadata: LeaseMeta) {
  return { apiVersion: apiVersionOf(resources.leases), kind: resources.leases.kind, metadata };
}

/** It wants six digits. */
function microTime(date: Date): string {
  return date.toISOString().replace("Z", "000Z");
}
