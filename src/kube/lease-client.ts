import type { Clock } from "../runtime/clock.ts";
import type { KubeClient, ApiRequest } from "./client.ts";
import { ApiError, hasCode } from "./api-error.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { heldBy, type Lease, released } from "./lease-record.ts";
import { pathOf, resources } from "./resources.ts";

export interface LeaseClientOptions {
  readonly api: KubeClient;
  readonly name: string;
  readonly namespace: string;
  readonly holder: string;
  readonly durationMs: number;
  /** For each request; one that hangs must leave time for another. */
  readonly requestMs: number;
  readonly clock: Clock;
}

/** Something that was done to a lease, and when it was sent: nobody can have seen it before. */
export interface Held {
  readonly lease: Lease;
  readonly sentAtMs: number;
}

/** The requests for one Lease. Each write carries the resourceVersion that was read, so that of several only one succeeds. */
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

  /** Makes it ours: for the first time where there is none, else in place of `last`. @throws ApiError */
  async hold(last: Lease | undefined, signal: AbortSignal): Promise<Held> {
    const { name, namespace, holder, durationMs, clock } = this.#options;
    const metadata = last?.metadata ?? { name, namespace };
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

  /** Gives it back. @throws ApiError */
  async release(last: Lease, signal: AbortSignal): Promise<void> {
    const body = released(last, this.#options.clock.now());
    await this.#send({ method: "PUT", path: this.#path(), body }, signal);
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
