import { vi } from "vitest";
import { setImmediate } from "node:timers/promises";
import type { Credential } from "../../src/credentials/credential.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { pathOf, type Resource, resources } from "../../src/kube/resources.ts";
import { LatestValue } from "../../src/runtime/latest-value.ts";
import { type ManualClock, manualClock } from "../fixtures/clock.ts";
import { fakeCluster } from "../fixtures/fake-cluster.ts";
import type { Pool } from "./credentials.ts";
import { type Choose, type Exploration, explore } from "./explore.ts";
import { IngressInvariants, Invariants, type MeshState } from "./invariants.ts";
import { Pod } from "./pod.ts";
import { Reader, type Snapshot } from "./published.ts";
import { Replica, type ReplicaOptions } from "./replica.ts";

export interface WorldOptions extends Pick<
  ReplicaOptions,
  "spoil" | "isUnfenced" | "spoilIngress" | "touchMappings"
> {
  readonly pool: Pool;
  /** Whether attaché asks an ingress what it has loaded. */
  readonly hasIngress?: boolean;
  /** What goes on when all else has come to rest; nothing by default. */
  readonly environment?: Environment;
}

/** What happens before a snapshot of the ingress, again and again. */
export interface Environment {
  /** Whether a Mapping changes before the snapshot of this number. */
  readonly changesMapping: (snapshot: number) => boolean;
  /** Whether another client removes annotations from Mappings and TLSContexts, as GitOps tools do. */
  readonly revertsAnnotations: boolean;
}

/** How much may happen in one run, beside what attaché does. */
export interface Bounds {
  /** What happens before anything is chosen. */
  readonly first?: Event;
  /** Of the mesh and of the identity's consumers. */
  readonly events: number;
  /** Which; all of them by default. */
  readonly only?: readonly Event[];
  /** Crashes, and leaders that are deposed while they write and wake up later. */
  readonly faults: number;
  /** Pauses in which time passes before the rest: each is enough for what was lost to be noticed. */
  readonly pauses?: number;
}

const name = "edge";
/** Another Mapping that uses the same context. */
const bystander = "bystander";
const namespace = "emissary";
const nudge = "attache.dev/nudge";

/**
 * So many turns of the event loop in which nothing is seen: whatever goes on without time or the model has
 * gone on.
 */
const restingTurns = 3;

/**
 * One MeshCertificate, its mesh, the API server, a Mapping that names its context, and attaché: what happens
 * next is chosen. After each write {@link Invariants} are asked whether it may be so.
 */
export class World {
  readonly #options: WorldOptions;
  readonly #cluster = fakeCluster();
  readonly #clock: ManualClock = manualClock();
  readonly #offers = new LatestValue<Credential>();
  readonly #replicas: Replica[] = [];
  readonly #invariants = new Invariants();
  readonly #ingressInvariants = new IngressInvariants();
  readonly #reader: Reader;
  readonly #pod: Pod | undefined;
  /** How many leaves were issued, and how many roots the mesh has had: the last one signs. */
  #leaves = 0;
  #roots = 1;
  #listed: readonly number[] = [0];
  #isDeleted = false;
  #isUsed = true;
  #hasDeposed = false;
  #changes = 0;
  #isPublished = false;
  #violation: unknown;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#reader = new Reader(this.#cluster, namespace, options.pool);
    if (options.hasIngress === true) this.#pod = new Pod(this.#cluster, namespace);
  }

  /** Lets happen what is chosen, until nothing is left to happen; then all must be well. */
  async play(choose: Choose, bounds: Bounds): Promise<void> {
    await this.#begin();
    if (bounds.first !== undefined) {
      for (const [, act] of this.#events([bounds.first])) await act();
      await this.#settle();
    }
    const left = { event: bounds.events, fault: bounds.faults, pause: bounds.pauses ?? 0 };
    for (;;) {
      const writes = this.#writes();
      const steps: readonly Costly[] = [
        ...[...writes, ...this.#snapshots()].map((step) => ({ step })),
        ...this.#events(bounds.only).map((step) => ({ step, costs: "event" as const })),
        ...this.#faults().map((step) => ({ step, costs: "fault" as const })),
        ...(writes.length === 0 ? [{ step: this.#pause, costs: "pause" as const }] : []),
      ].filter(({ costs }: Costly) => costs === undefined || left[costs] > 0);
      const options = steps.map(({ step: [what] }) => what);
      const taken = choose(writes.length > 0 ? options : ["rest", ...options]);
      const chosen = steps.find(({ step: [what] }) => what === taken);
      if (chosen === undefined) break;
      if (chosen.costs !== undefined) left[chosen.costs] -= 1;
      await chosen.step[1]();
      await this.#settle();
    }
    await this.#rest();
  }

  /** Publishes, without a choice, what {@link play} begins with. */
  async publish(): Promise<void> {
    await this.#begin();
    await this.#rest();
    this.#isPublished = true;
  }

  async #begin(): Promise<void> {
    if (this.#replicas.length > 0) return;
    const { admin } = this.#cluster;
    for (const mapping of this.#pod === undefined ? [name] : [name, bystander]) {
      await admin.create(pathOf(resources.mappings, { namespace }), {
        apiVersion: "getambassador.io/v3alpha1",
        kind: "Mapping",
        metadata: { name: mapping },
        spec: { tls: name, service: `upstream-of-${mapping}`, prefix: `/${mapping}/` },
      });
    }
    await admin.create(pathOf(resources.meshCertificates, { namespace }), {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name },
      spec: { consul: { service: name }, target: { tlsContext: { ambassadorId: ["default"] } } },
    });
    this.#issue();
    this.#start();
    await this.#settle();
  }

  #writes(): Step[] {
    const pending = this.#replicas.flatMap((replica) => replica.pending);
    return pending.map(({ what, send }): Step => [what, send]);
  }

  #snapshots(): Step[] {
    const pod = this.#pod;
    return pod?.hasNews === true ? [["Emissary takes a snapshot", () => this.#takeSnapshot(pod)]] : [];
  }

  get #pause(): Step {
    return ["time passes", () => this.#pass(3_000)];
  }

  #events(only: Bounds["only"]): Step<Event>[] {
    const canIssue = this.#leaves < this.#options.pool.roots.length;
    const steps: readonly (Step<Event> | false)[] = [
      canIssue && ["the leaf rotates", () => this.#issue()],
      canIssue && ["the root rotates", () => this.#rotateRoot()],
      this.#listed.length > 1 && ["the mesh drops old roots", () => this.#dropRoots()],
      !this.#isDeleted && ["the identity is deleted", () => this.#delete()],
      this.#isUsed && ["the Mapping goes", () => this.#deleteMapping()],
      this.#pod !== undefined && ["a Mapping changes", () => this.#changeMapping()],
    ];
    return steps.filter((step) => step !== false).filter(([what]) => only?.includes(what) ?? true);
  }

  #faults(): Step[] {
    const leader = this.#leader;
    if (leader === undefined) return [];
    const crash: Step = [`${leader.name} crashes`, () => this.#replace(() => leader.crash())];
    const depose: Step = [`${leader.name} is deposed`, () => this.#depose(leader)];
    return leader.pending.length === 0 ? [crash] : [crash, depose];
  }

  get #leader(): Replica | undefined {
    return this.#replicas.find(({ isLeader }) => isLeader);
  }

  #depose(leader: Replica): void {
    this.#hasDeposed = true;
    this.#replace(() => leader.depose());
  }

  #replace(end: () => void): void {
    end();
    this.#start();
  }

  #start(): void {
    const { spoil, spoilIngress, isUnfenced, touchMappings } = this.#options;
    const api: KubeClient = { ...this.#cluster.api(this.#cluster.access), namespace };
    this.#replicas.push(
      new Replica({
        name: `attaché ${this.#replicas.length + 1}`,
        ...{ api, spoil, spoilIngress, isUnfenced, touchMappings },
        ...{ pod: this.#pod, clock: this.#clock, offers: this.#offers },
        written: (plural, written) => {
          this.#pod?.sees(plural, written);
          return this.#check();
        },
      }),
    );
  }

  #issue(): void {
    const { leaves } = this.#options.pool;
    const leaf = leaves.find(({ index, root }) => index === this.#leaves && root === this.#roots - 1);
    if (leaf === undefined) throw new Error("the pool is too small");
    this.#leaves += 1;
    this.#offer(leaf);
  }

  #rotateRoot(): void {
    this.#listed = [...this.#listed, this.#roots];
    this.#roots += 1;
    this.#issue();
  }

  #dropRoots(): void {
    this.#listed = this.#listed.slice(-1);
    const { value } = this.#offers;
    if (value !== undefined) this.#offer({ key: value.key, certificate: value.chain[0] });
  }

  #offer({ key, certificate }: { key: Credential["key"]; certificate: Credential["chain"][0] }): void {
    const bundle = this.#listed.flatMap((root) => this.#options.pool.roots[root] ?? []);
    this.#offers.publish({ key, chain: [certificate], bundle });
  }

  async #delete(): Promise<void> {
    this.#isDeleted = true;
    await this.#cluster.admin.delete(pathOf(resources.meshCertificates, { namespace, name }));
  }

  async #deleteMapping(): Promise<void> {
    this.#isUsed = false;
    await this.#cluster.admin.delete(pathOf(resources.mappings, { namespace, name }));
  }

  async #changeMapping(): Promise<void> {
    this.#changes += 1;
    const path = pathOf(resources.mappings, { namespace, name: bystander });
    await this.#cluster.admin.patch(path, { spec: { rewrite: `/${this.#changes}` } });
    this.#pod?.sees("mappings", bystander);
  }

  async #takeSnapshot(pod: Pod): Promise<void> {
    await pod.takeSnapshot();
    await this.#check();
  }

  /** Emissary waits for no longer than a second before it takes a snapshot. */
  async #pass(ms: number): Promise<void> {
    if (this.#pod?.hasNews === true) await this.#takeSnapshot(this.#pod);
    await this.#clock.advance(ms);
  }

  /** What goes on before the snapshot of this number, when nothing is chosen any more. */
  async #repeat({ changesMapping, revertsAnnotations }: Environment, snapshot: number): Promise<void> {
    if (revertsAnnotations) {
      for (const kind of ["mappings", "tlsContexts"] as const) await this.#revertAnnotations(resources[kind]);
    }
    if (changesMapping(snapshot)) await this.#changeMapping();
  }

  async #revertAnnotations(resource: Resource): Promise<void> {
    const { admin } = this.#cluster;
    const all = await admin.get<{ readonly items: readonly Annotated[] }>(pathOf(resource, { namespace }));
    for (const { metadata } of all.items) {
      if (metadata.annotations?.[nudge] === undefined) continue;
      await admin.patch(pathOf(resource, { namespace, name: metadata.name }), {
        metadata: { annotations: { [nudge]: null } },
      });
      this.#pod?.sees(resource.plural, metadata.name);
    }
  }

  get #mesh(): MeshState {
    return { listed: this.#listed, newest: this.#leaves - 1 };
  }

  async #check(): Promise<void> {
    try {
      const snapshot = await this.#reader.read(name);
      this.#invariants.check(snapshot, this.#mesh);
      this.#checkIngress(snapshot);
    } catch (error) {
      this.#violation ??= error;
    }
  }

  #checkIngress(snapshot: Snapshot): void {
    // Before there was anything to load there is nothing to lose.
    if (!this.#isPublished) return;
    const loaded = (this.#pod?.clusters ?? []).map(({ tls }) => ({
      pair: tls?.pair && this.#reader.pairOf(tls.pair.certificate.text, tls.pair.key.text),
      roots: this.#reader.rootsOf(tls?.ca?.text ?? ""),
    }));
    this.#ingressInvariants.check(loaded, snapshot, this.#mesh, this.#clock.elapsedMs());
  }

  /** Waits until nothing goes on without a choice, or time. */
  async #settle(): Promise<void> {
    const seen = () => this.#replicas.map(({ turns, isBusy }) => (isBusy ? {} : turns));
    let before = seen();
    for (let resting = 0; resting < restingTurns;) {
      await setImmediate();
      const now = seen();
      resting = now.every((turns, index) => turns === before[index]) ? resting + 1 : 0;
      before = now;
    }
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- as it was thrown
    if (this.#violation !== undefined) throw this.#violation;
  }

  /** Everything that waits goes on, and then time and the environment do, as long as it takes. */
  async #rest(environment = this.#options.environment): Promise<void> {
    const stepMs = this.#pod === undefined ? 10_000 : 500;
    for (let turnsLeft = 100; ; turnsLeft -= 1) {
      for (let [step] = this.#writes(); step !== undefined; [step] = this.#writes()) {
        await step[1]();
        await this.#settle();
      }
      try {
        await this.#checkAtRest();
        return;
      } catch (error) {
        // One that was deposed may create something late, which the next start finds.
        if (turnsLeft === 90 && this.#hasDeposed) this.#replace(() => this.#leader?.crash());
        if (turnsLeft === 0) throw error;
      }
      if (environment !== undefined) await this.#repeat(environment, turnsLeft);
      await this.#pass(stepMs);
      await this.#settle();
    }
  }

  async #checkAtRest(): Promise<void> {
    const snapshot = await this.#reader.read(name);
    this.#invariants.checkAtRest(snapshot, this.#mesh);
    if (this.#pod === undefined) return;
    if (!(await this.#pod.isUpToDate())) throw new Error("the ingress has not taken what is published");
    if (snapshot.served !== "True/Served") throw new Error(`Served is ${snapshot.served ?? "absent"}`);
  }
}

interface Annotated {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
}

interface Costly {
  readonly step: Step;
  /** Of what it takes one away. */
  readonly costs?: "event" | "fault" | "pause";
}

type Step<Name extends string = string> = readonly [what: Name, act: () => void | Promise<void>];

export type Event =
  | "the leaf rotates"
  | "the root rotates"
  | "the mesh drops old roots"
  | "the identity is deleted"
  | "the Mapping goes"
  | "a Mapping changes";

/** Plays every interleaving within `bounds`, each from its start. @throws Violation */
export function check(
  { from, ...options }: WorldOptions & { readonly from: "nothing" | "what is published" },
  bounds: Bounds,
): Promise<Exploration> {
  return explore(async (choose) => {
    // No computation takes time here: none is cut into slices, which would be others in each run.
    using _still = vi.spyOn(performance, "now").mockReturnValue(0);
    const world = new World(options);
    if (from === "what is published") await world.publish();
    await world.play(choose, bounds);
  });
}
