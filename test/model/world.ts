import { setImmediate } from "node:timers/promises";
import type { Credential } from "../../src/credentials/credential.ts";
import type { Api } from "../../src/kubernetes/api.ts";
import { pathOf, resources } from "../../src/kubernetes/resources.ts";
import { Newest } from "../../src/mesh/newest.ts";
import { type ManualClock, manualClock } from "../fixtures/clock.ts";
import { fakeCluster } from "../fixtures/fake-cluster.ts";
import type { Pool } from "./credentials.ts";
import { type Choose, type Exploration, explore } from "./explore.ts";
import { Invariants, type MeshState } from "./invariants.ts";
import { Reader } from "./published.ts";
import { Replica, type ReplicaOptions } from "./replica.ts";

export interface WorldOptions extends Pick<ReplicaOptions, "spoil" | "isUnfenced"> {
  readonly pool: Pool;
}

/** How much may happen in one run, beside what attaché does. */
export interface Bounds {
  /** Of the mesh and of whoever uses the identity. */
  readonly events: number;
  /** Which; all of them by default. */
  readonly only?: readonly Event[];
  /** Crashes, and leaders that are deposed while they write and wake up later. */
  readonly faults: number;
}

const name = "edge";
const namespace = "emissary";

/** So many turns of the event loop in which nothing is seen: whatever goes on without time or the model has gone on. */
const restingTurns = 3;

/**
 * One MeshIdentity, its mesh, the API server, a Mapping that names its context, and attaché: what happens next is chosen. After
 * each write {@link Invariants} are asked whether it may be so.
 */
export class World {
  readonly #options: WorldOptions;
  readonly #cluster = fakeCluster();
  readonly #clock: ManualClock = manualClock();
  readonly #offers = new Newest<Credential>();
  readonly #replicas: Replica[] = [];
  readonly #invariants = new Invariants();
  readonly #reader: Reader;
  /** How many leaves were issued, and how many roots the mesh has had: the last one signs. */
  #leaves = 0;
  #roots = 1;
  #listed: readonly number[] = [0];
  #isDeleted = false;
  #isUsed = true;
  #hasDeposed = false;
  #violation: unknown;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#reader = new Reader(this.#cluster, namespace, options.pool);
  }

  /** Lets happen what is chosen, until nothing is left to happen; then all must be well. */
  async play(choose: Choose, bounds: Bounds): Promise<void> {
    await this.#begin();
    let { events, faults } = bounds;
    for (;;) {
      const writes = this.#writes();
      const happenings =
        events > 0 ? this.#events().filter(([what]) => bounds.only?.includes(what) ?? true) : [];
      const failures = faults > 0 ? this.#faults() : [];
      const all = [...writes, ...happenings, ...failures];
      const options = all.map(([what]) => what);
      const taken = choose(writes.length > 0 ? options : ["rest", ...options]);
      const [, act] = all.find(([what]) => what === taken) ?? [];
      if (act === undefined) break;
      if (happenings.some(([what]) => what === taken)) events -= 1;
      if (failures.some(([what]) => what === taken)) faults -= 1;
      await act();
      await this.#settle();
    }
    await this.#rest();
  }

  /** Publishes, without a choice, what {@link play} begins with. */
  async publish(): Promise<void> {
    await this.#begin();
    await this.#rest();
  }

  async #begin(): Promise<void> {
    if (this.#replicas.length > 0) return;
    const { admin } = this.#cluster;
    await admin.create(pathOf(resources.mappings, { namespace }), {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name },
      spec: { tls: name, service: "upstream" },
    });
    await admin.create(pathOf(resources.meshIdentities, { namespace }), {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshIdentity",
      metadata: { name },
      spec: { consul: { service: name }, target: { tlsContext: { ambassadorId: ["default"] } } },
    });
    this.#issue();
    this.#start();
    await this.#settle();
  }

  #writes(): Step[] {
    return this.#replicas.flatMap(({ pending }): Step[] =>
      pending === undefined ? [] : [[pending.what, () => pending.send()]],
    );
  }

  #events(): Step<Event>[] {
    const canIssue = this.#leaves < this.#options.pool.roots.length;
    const steps: readonly (Step<Event> | false)[] = [
      canIssue && ["the leaf rotates", () => this.#issue()],
      canIssue && ["the root rotates", () => this.#rotateRoot()],
      this.#listed.length > 1 && ["the mesh drops old roots", () => this.#dropRoots()],
      !this.#isDeleted && ["the identity is deleted", () => this.#delete()],
      this.#isUsed && ["the Mapping goes", () => this.#deleteMapping()],
    ];
    return steps.filter((step) => step !== false);
  }

  #faults(): Step[] {
    const leader = this.#leader;
    if (leader === undefined) return [];
    const crash: Step = [`${leader.name} crashes`, () => this.#replace(() => leader.crash())];
    const depose: Step = [`${leader.name} is deposed`, () => this.#depose(leader)];
    return leader.pending === undefined ? [crash] : [crash, depose];
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
    const { spoil, isUnfenced } = this.#options;
    const api: Api = { ...this.#cluster.api(this.#cluster.access), namespace };
    this.#replicas.push(
      new Replica({
        name: `attaché ${this.#replicas.length + 1}`,
        ...{ api, spoil, isUnfenced, clock: this.#clock, offers: this.#offers },
        written: () => this.#check(),
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
    await this.#cluster.admin.delete(pathOf(resources.meshIdentities, { namespace, name }));
  }

  async #deleteMapping(): Promise<void> {
    this.#isUsed = false;
    await this.#cluster.admin.delete(pathOf(resources.mappings, { namespace, name }));
  }

  get #mesh(): MeshState {
    return { listed: this.#listed, newest: this.#leaves - 1 };
  }

  async #check(): Promise<void> {
    try {
      this.#invariants.check(await this.#reader.read(name), this.#mesh);
    } catch (error) {
      this.#violation ??= error;
    }
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

  /** Everything that waits goes on, and then time does, as long as it takes. */
  async #rest(): Promise<void> {
    for (let patience = 10; ; patience -= 1) {
      for (let [step] = this.#writes(); step !== undefined; [step] = this.#writes()) {
        await step[1]();
        await this.#settle();
      }
      try {
        this.#invariants.checkAtRest(await this.#reader.read(name), this.#mesh);
        return;
      } catch (error) {
        // One that was deposed may create something when nobody looks for it any more: the next start does.
        if (patience === 5 && this.#hasDeposed) this.#replace(() => this.#leader?.crash());
        if (patience === 0) throw error;
      }
      await this.#clock.advance(10_000);
      await this.#settle();
    }
  }
}

type Step<Name extends string = string> = readonly [what: Name, act: () => void | Promise<void>];

export type Event =
  | "the leaf rotates"
  | "the root rotates"
  | "the mesh drops old roots"
  | "the identity is deleted"
  | "the Mapping goes";

/** Plays every interleaving within `bounds`, each from its start. @throws Violation */
export function check(
  { from, ...options }: WorldOptions & { readonly from: "nothing" | "what is published" },
  bounds: Bounds,
): Promise<Exploration> {
  return explore(async (choose) => {
    const world = new World(options);
    if (from === "what is published") await world.publish();
    await world.play(choose, bounds);
  });
}
