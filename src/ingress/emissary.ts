import type { Clock } from "../runtime/clock.ts";
import { Clusters, type OwnCluster } from "../emissary/clusters.ts";
import type { Consumer, ContextName } from "../emissary/consumer.ts";
import { overlap } from "../emissary/fields.ts";
import { servingStateOf, type Wanted } from "../emissary/serving-state.ts";
import type { ClusterFinding, EmissaryFinding, PodFinding } from "./finding.ts";
import { Nudging } from "./nudging.ts";
import type { Pod, Pods } from "./pods.ts";
import { type Ask, Probe } from "./probe.ts";
import { least } from "./least.ts";

export interface EmissaryPorts {
  /** `NAMESPACE/SERVICE` */
  readonly name: string;
  readonly namespace: string;
  readonly ambassadorIds: readonly string[];
  readonly nudgeAfterMs: number;
  readonly pods: (onChange: () => void) => Pods;
  readonly ask: Ask;
  readonly clock: Clock;
  /** A pod has answered, or has failed to. */
  readonly onAnswer: () => void;
  /** Pods have come or gone. */
  readonly onPods: () => void;
}

/** What is looked for in the pods of one Emissary, for one identity. */
export interface Search {
  readonly contexts: readonly ContextName[];
  readonly wanted: Wanted;
  /** When it was written, by `elapsedMs()`: what was seen before does not count. */
  readonly sinceMs: number;
  /** Since when a pod shows what it should not, by pod and cluster; kept here between looks. */
  readonly troubles: Map<string, Trouble>;
}

export interface Trouble {
  readonly kind: string;
  readonly since: Date;
  readonly sinceMs: number;
}

/** What a look has found, and what is to be done about it. */
export interface Look {
  readonly finding: EmissaryFinding;
  /** Whether it may have missed something, and none of its pods tells. */
  readonly isBlind: boolean;
  /** When the first thing was late that a nudge may heal, by `elapsedMs()`. */
  readonly lateMs: number | undefined;
  /** In how many milliseconds something will be late that is not yet. */
  readonly lateInMs: number | undefined;
  readonly exposed: readonly Consumer[];
}

/** So often it is nudged in vain before it counts as frozen. */
const nudgesUntilFrozen = 3;

const maxPatienceMs = 60_000;

/** One Emissary-ingress: its pods, what they have answered, and what that says of an identity. */
export class Emissary implements AsyncDisposable {
  readonly nudging: Nudging;
  readonly #ports: EmissaryPorts;
  readonly #pods: Pods;
  readonly #probes = new Map<string, Probe>();
  readonly #ended = new Set<Promise<void>>();
  readonly #deaf = new Map<Probe, Deafness>();
  #clusters: Clusters | undefined;
  /** By `elapsedMs()`. */
  #consumersMs = -Infinity;

  constructor(ports: EmissaryPorts) {
    this.#ports = ports;
    this.nudging = new Nudging(ports.clock);
    this.#pods = ports.pods(() => this.#podsChanged());
  }

  get name(): string {
    return this.#ports.name;
  }

  get probes(): Iterable<Probe> {
    return this.#probes.values();
  }

  isFrozen(probe: Probe): boolean {
    return this.#deaf.get(probe)?.isFrozen ?? false;
  }

  sees({ ambassadorIds }: ContextName): boolean {
    return overlap(ambassadorIds, this.#ports.ambassadorIds);
  }

  /** Who names contexts has changed; nothing: it is not known. */
  consumersChanged(consumers: Iterable<Consumer> | undefined): void {
    this.#clusters = consumers && new Clusters(consumers, this.#ports);
    this.#consumersMs = this.#ports.clock.elapsedMs();
  }

  /** The longest time that one of its pods needs for what it gets. */
  get patienceMs(): number {
    return Math.max(
      this.#ports.nudgeAfterMs,
      ...this.#probes.values().map((probe) => this.#patienceOf(probe)),
    );
  }

  /** How long the longest reconfiguration of one of its pods took. */
  get reconfigurationMs(): number {
    return Math.max(0, ...this.#probes.values().map(({ answer }) => answer?.page.reconfigurationMs ?? 0));
  }

  /** A nudge is written, and from now on says something of who takes nothing. */
  nudged(): void {
    const before = this.nudging.writtenMs ?? Infinity;
    this.nudging.written();
    for (const probe of this.#probes.values()) {
      const { answer } = probe;
      const known = this.#deaf.get(probe);
      // One that was not asked in between has missed nothing.
      const isSame = known !== undefined && answer !== undefined && answer.askedMs > before;
      if (isSame) this.#deaf.set(probe, { ...known, nudges: known.nudges + 1 });
      else this.#deaf.set(probe, { updates: answer?.page.updates, nudges: 1, isFrozen: false });
      probe.ring();
    }
  }

  /** `undefined` for an identity of which this Emissary sees no context. */
  look({ contexts, wanted, sinceMs, troubles }: Search): Look | undefined {
    const isSeen = contexts.map((context) => this.sees(context));
    // Most often all, and then what was found for them before is known.
    const seen = isSeen.includes(false) ? contexts.filter((_, index) => isSeen[index]) : contexts;
    if (seen.length === 0) return undefined;
    const own = this.#clusters?.of(seen) ?? [];
    if (troubles.size > 0) this.#forgetGone(own, troubles);
    const looks = [...this.#probes.values()].map((probe) =>
      this.#lookAt(probe, own, wanted, sinceMs, troubles),
    );
    const items = looks.flatMap((look) => look.items);
    const nowMs = this.#ports.clock.elapsedMs();
    const healable = items.filter(
      ({ cluster: { sight, isLate, candidates } }) =>
        isLate &&
        (sight.kind === "exposed" ||
          (candidates.length === 0 && (sight.kind === "oldLeaf" || sight.kind === "oldRoots"))),
    );
    const toCome = items.filter(({ cluster, lateMs }) => !cluster.isLate && lateMs !== undefined);
    return {
      finding: {
        name: this.name,
        problem: this.#problem(own),
        clusters: own.length,
        pods: looks.map(({ pod }) => pod),
      },
      isBlind: own.length > 0 && looks.every(({ pod }) => pod.silence !== undefined),
      lateMs: least(healable.map(({ lateMs }) => lateMs)),
      lateInMs: least(toCome.map(({ lateMs = 0 }) => lateMs - nowMs)),
      exposed: items
        .filter(({ cluster: { isLate, sight } }) => isLate && sight.kind === "exposed")
        .flatMap(({ cluster }) => cluster.consumers),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pods[Symbol.asyncDispose]();
    for (const probe of this.#probes.values()) this.#end(probe);
    await Promise.all(this.#ended);
  }

  #podsChanged(): void {
    const { ask, clock, onAnswer, onPods } = this.#ports;
    const all = this.#pods.all;
    for (const [key, probe] of this.#probes) {
      if (all.has(key)) continue;
      this.#probes.delete(key);
      this.#deaf.delete(probe);
      this.#end(probe);
    }
    for (const [key, pod] of all) {
      if (this.#probes.has(key)) continue;
      const wanted = () => this.#clusters?.names ?? new Set<string>();
      this.#probes.set(key, new Probe(pod, { ask, wanted, onAnswer, clock }));
    }
    onPods();
  }

  #end(probe: Probe): void {
    const ended = probe[Symbol.asyncDispose]().finally(() => this.#ended.delete(ended));
    this.#ended.add(ended);
  }

  /** Troubles of pods and clusters that are gone. */
  #forgetGone(own: readonly OwnCluster[], troubles: Map<string, Trouble>): void {
    const pods = [...this.#probes.values()].map(({ pod }) => pod);
    const keys = new Set(pods.flatMap((pod) => own.map(({ name }) => this.#keyOf(pod, name))));
    for (const key of troubles.keys())
      if (key.startsWith(`${this.name} `) && !keys.has(key)) troubles.delete(key);
  }

  /** Of a trouble; other Emissaries remember theirs beside it. */
  #keyOf({ name, address }: Pod, cluster: string): string {
    return `${this.name} ${name}/${address} ${cluster}`;
  }

  #problem(own: readonly OwnCluster[]): EmissaryFinding["problem"] {
    if (own.length === 0 || this.#probes.size > 0) return undefined;
    const { isSynced, error } = this.#pods.health;
    if (error !== undefined) {
      return {
        reason: "PodsUnknown",
        message: `The pods of the Service ${this.name} are not known: ${error.problem}. ${error.remedy}`,
      };
    }
    if (!isSynced) return undefined;
    return {
      reason: "NoPods",
      message: `The Service ${this.name} has no pod that is ready: does it exist, and does Emissary run? See \`emissary:\` in the settings.`,
    };
  }

  #lookAt(
    probe: Probe,
    own: readonly OwnCluster[],
    wanted: Wanted,
    writtenMs: number,
    troubles: Map<string, Trouble>,
  ): { readonly pod: PodFinding; readonly items: readonly Item[] } {
    const { pod, failure } = probe;
    const items = own.map(({ name: likely, names, consumers, candidates, isShared }): Item => {
      const sight = this.#sight(probe, names, wanted, writtenMs);
      const isWell = sight.kind === "served" || sight.kind === "awaited";
      // Most often there is nothing to remember.
      const since =
        isWell && troubles.size === 0
          ? undefined
          : this.#since(this.#keyOf(pod, likely), sight, probe, troubles);
      const lateMs = since && Math.max(since.sinceMs, writtenMs) + this.#patienceOf(probe);
      const isLate = lateMs !== undefined && this.#ports.clock.elapsedMs() >= lateMs;
      const name = "name" in sight ? sight.name : likely;
      return {
        cluster: {
          name,
          sight,
          consumers,
          candidates,
          isShared,
          since: since?.since ?? probe.seen.at,
          isLate,
        },
        lateMs,
      };
    });
    const isSilent = failure !== undefined && failure.count >= failuresUntilSilent;
    const hasMissing = items.some(({ cluster }) => cluster.sight.kind !== "served");
    return {
      items,
      pod: {
        name: pod.name,
        isResponsive: probe.isResponsive,
        silence: isSilent && hasMissing ? failure : undefined,
        isFrozen: this.#isFrozen(probe),
        isDeaf: this.#deaf.has(probe),
        clusters: items.map(({ cluster }) => cluster),
      },
    };
  }

  #isFrozen(probe: Probe): boolean {
    const known = this.#deaf.get(probe);
    const { answer } = probe;
    const { writtenMs = Infinity } = this.nudging;
    if (known?.updates === undefined || answer === undefined) return false;
    if (answer.page.updates !== known.updates) {
      this.#deaf.delete(probe);
      return false;
    }
    const hadTime = answer.askedMs >= writtenMs + this.#patienceOf(probe);
    const isFrozen = known.isFrozen || (known.nudges >= nudgesUntilFrozen && hadTime);
    if (isFrozen !== known.isFrozen) this.#deaf.set(probe, { ...known, isFrozen });
    return isFrozen;
  }

  #sight(
    probe: Probe,
    names: OwnCluster["names"],
    wanted: Wanted,
    writtenMs: number,
  ): ClusterFinding["sight"] {
    const { answer, failure } = probe;
    const isAsked = names.every((list) => list.every((name) => answer?.wanted.has(name)));
    if (answer === undefined || answer.askedMs < writtenMs || !isAsked) return { kind: "awaited" };
    const sight = servingStateOf(answer.page, names, wanted);
    // What it showed before it fell silent need not be so any more.
    return failure !== undefined && sight.kind !== "served" ? { kind: "awaited" } : sight;
  }

  #since(
    key: string,
    sight: ClusterFinding["sight"],
    probe: Probe,
    troubles: Map<string, Trouble>,
  ): Trouble | undefined {
    const before = troubles.get(key);
    if (sight.kind === "awaited") return before;
    if (sight.kind === "served") {
      troubles.delete(key);
      return undefined;
    }
    if (before?.kind === sight.kind) return before;
    const { clock } = this.#ports;
    const trouble = {
      kind: sight.kind,
      since: clock.now(),
      // What an old page lacks of a Mapping that has changed since, the pod has its time to take.
      sinceMs: Math.max(probe.answer?.askedMs ?? clock.elapsedMs(), this.#consumersMs),
    };
    troubles.set(key, trouble);
    return trouble;
  }

  /** A change waits for the reconfiguration before it, a second at least, and then for its own. */
  #patienceOf({ answer }: Probe): number {
    const reconfigurationMs = answer?.page.reconfigurationMs ?? 0;
    const needed = Math.max(1_000, reconfigurationMs) + reconfigurationMs;
    return Math.min(Math.max(this.#ports.nudgeAfterMs, needed), maxPatienceMs);
  }
}

const failuresUntilSilent = 3;

/** Of a pod that is nudged. */
interface Deafness {
  /** How often it had taken anything when the nudges began; nothing where its Envoy does not count. */
  readonly updates: number | undefined;
  /** How many it had since without taking anything. */
  readonly nudges: number;
  /** Until it takes something. */
  readonly isFrozen: boolean;
}

interface Item {
  readonly cluster: ClusterFinding;
  /** From when on it is late, by `elapsedMs()`. */
  readonly lateMs: number | undefined;
}
