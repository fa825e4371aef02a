import type { Clock } from "../../src/runtime/clock.ts";
import type { Credential } from "../../src/credentials/credential.ts";
import { defaultLimits } from "../../src/credentials/candidate.ts";
import { parseSpiffeIdPattern } from "../../src/credentials/spiffe-id.ts";
import type { KubeClient, ApiRequest } from "../../src/kube/client.ts";
import { namedBy } from "../../src/kube/resources.ts";
import { IngressController, type IngressControllerPorts } from "../../src/ingress/controller.ts";
import type { Ingress } from "../../src/ingress/ingress.ts";
import type { LatestValue } from "../../src/runtime/latest-value.ts";
import { noToken } from "../conformance/no-token.ts";
import { allowAll } from "../../src/controller/allow.ts";
import { Controller } from "../../src/controller/controller.ts";
import type { OpenMesh } from "../../src/controller/open-mesh.ts";
import { openKubernetesStore } from "../../src/store/kubernetes/kubernetes-store.ts";
import type { Store } from "../../src/store/store.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { noObserver } from "../fixtures/no-observer.ts";
import { spiffeId } from "./credentials.ts";
import type { Pod } from "./pod.ts";

export interface ReplicaOptions {
  readonly name: string;
  readonly api: KubeClient;
  readonly clock: Clock;
  readonly offers: LatestValue<Credential>;
  /** Called with each write that has been carried out, before its sender gets the answer. */
  readonly written: (resource: string, name: string) => Promise<void>;
  /** Of an ingress that it asks; without it none is configured. */
  readonly pod?: Pod | undefined;
  /** Whether it may touch Mappings. */
  readonly touchMappings?: boolean | undefined;
  /** In place of the ingress, another one that does it wrong. */
  readonly spoilIngress?: ((ports: IngressControllerPorts) => Ingress) | undefined;
  /** In place of the store, another one that does it wrong. */
  readonly spoil?: ((store: Store, api: KubeClient) => Store) | undefined;
  /** Whether it writes on when it has been deposed. */
  readonly isUnfenced?: boolean | undefined;
}

/** A write that waits to be sent. */
export interface Pending {
  readonly what: string;
  readonly send: () => void;
}

/** Requests whose moment decides nothing: they are sent at once. */
const passing = new Set(["events", "meshcertificates/status"]);

/**
 * One attaché, the real one from the store's API up, that leads from its start. Of what it sends each write
 * waits until the model says so; a read is answered at once.
 */
export class Replica {
  readonly name: string;
  readonly #options: ReplicaOptions;
  readonly #api: KubeClient;
  #isAlive = true;
  #isLeader = true;
  #pending: readonly Pending[] = [];
  #inFlight = 0;
  #turns = 0;

  constructor(options: ReplicaOptions) {
    this.name = options.name;
    this.#options = options;
    const { api, spoil, isUnfenced = false } = options;
    this.#api = {
      ...api,
      request: (asked) => this.#request(asked),
      watch: (asked, signal) => api.watch(asked, signal),
    };
    const clock = this.#clock();
    const logger = createLogger("silent");
    const store = openKubernetesStore({
      api: this.#api,
      namespaces: [api.namespace],
      installation: "attache",
      meshes: new Set(["consul"]),
      mayWrite: () => this.#isLeader || isUnfenced,
      clock,
      logger,
    });
    const controller = new Controller({
      meshes: new Map([["consul", meshOf(options.offers)]]),
      store: spoil?.(store, this.#api) ?? store,
      ...(options.pod && { ingress: this.#ingress(options.pod, { store, clock, logger }) }),
      clock,
      logger,
      observer: noObserver,
      serviceAccountToken: noToken,
      allow: allowAll,
      installation: "attache",
      isStoreShared: true,
      rotationWindowMs: 0,
      clockSkewMs: 60_000,
      limits: defaultLimits,
    });
    void controller.run(new AbortController().signal);
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isLeader(): boolean {
    return this.#isLeader && this.#isAlive;
  }

  get pending(): readonly Pending[] {
    return this.#isAlive ? this.#pending : [];
  }

  /** Whether it waits for an answer. */
  get isBusy(): boolean {
    return this.#inFlight > 0;
  }

  /** Rises with whatever it does. */
  get turns(): number {
    return this.#turns;
  }

  /** The process ends without a word: what it had not sent is never sent. */
  crash(): void {
    this.#isAlive = false;
    this.#inFlight = 0;
  }

  /** It was stopped behind its look at the clock: what it was about to send goes out when it wakes up. */
  depose(): void {
    this.#isLeader = false;
  }

  async #request<T>(asked: ApiRequest): Promise<T> {
    const { resource = "", name = nameIn(asked.body) } = namedBy(asked.path) ?? {};
    const isWrite = asked.method !== "GET" && !passing.has(resource);
    this.#turns += 1;
    if (isWrite) await this.#turn(`${this.name} ${asked.method} ${resource}/${name}`);
    await this.#unlessDead();
    this.#inFlight += 1;
    try {
      const answer = await this.#options.api.request<T>(asked);
      if (isWrite) await this.#options.written(resource, name);
      return answer;
    } finally {
      await this.#unlessDead();
      this.#inFlight -= 1;
      this.#turns += 1;
    }
  }

  /** Waits until the model says so. */
  async #turn(what: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const pending = { what, send: () => resolve(undefined) };
    this.#pending = [...this.#pending, pending];
    await promise;
    this.#pending = this.#pending.filter((one) => one !== pending);
  }

  #ingress(pod: Pod, ports: Pick<IngressControllerPorts, "store" | "clock" | "logger">): Ingress {
    const name = "pod";
    const all: IngressControllerPorts = {
      ...ports,
      observer: { served: () => undefined, touched: () => undefined, reconciled: () => undefined },
      emissaries: [
        {
          name: "emissary/admin",
          namespace: "emissary",
          ambassadorIds: ["default"],
          nudgeAfterMs: 2_000,
          reconfigMaxDelayMs: 1_000,
          touchMappings: this.#options.touchMappings ?? false,
          pods: (onChange) => {
            queueMicrotask(onChange);
            return {
              health: { what: "pods", isSynced: true, state: "synced", sinceMs: 0 },
              all: new Map([[name, { name, address: "192.0.2.1" }]]),
              [Symbol.asyncDispose]: () => Promise.resolve(),
            };
          },
          ask: async (_pod, wanted) => {
            this.#turns += 1;
            await this.#unlessDead();
            return pod.page(wanted);
          },
        },
      ],
    };
    return this.#options.spoilIngress?.(all) ?? new IngressController(all);
  }

  async #unlessDead(): Promise<void> {
    if (!this.#isAlive) await new Promise(() => undefined);
  }

  #clock(): Clock {
    const { clock } = this.#options;
    return {
      ...clock,
      sleep: async (ms, signal) => {
        await clock.sleep(ms, signal);
        await this.#unlessDead();
      },
    };
  }
}

function nameIn(body: unknown): string {
  return (body as { metadata?: { name?: string } } | undefined)?.metadata?.name ?? "";
}

function meshOf(offers: LatestValue<Credential>): OpenMesh {
  return {
    name: "consul",
    retainMs: 0,
    alpnProtocols: undefined,
    trustDomain: undefined,
    connection: { connected: true },
    expected: () => parseSpiffeIdPattern(spiffeId),
    watch: (_identity, { signal }) => Promise.resolve(offers.subscribe(signal)),
    check: () => Promise.resolve([]),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
