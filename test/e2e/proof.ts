/**
 * The proof: requests through an Emissary to upstreams in a real Consul mesh, while leaves and roots rotate,
 * Mappings change, and one after the other of all that attaché depends on goes away, attaché included.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { rotateRoot } from "../peers/consul/root.ts";
import { followHealing, needless } from "./healing.ts";
import { type Failure, startLoad } from "./load.ts";
import { clusterNames, identities, setProofStage } from "./proof-stage.ts";
import { followRotations, type Rotation } from "./rotations.ts";

export interface ProofOptions {
  readonly seconds: number;
  /** How long the API server and Consul stay away; 0: nothing fails, and attaché is not restarted. */
  readonly awaySeconds: number;
  readonly rootEverySeconds: number;
  readonly leafEverySeconds: number;
  /** How long attaché waits before it touches a TLSContext; ten minutes show what is lost without. */
  readonly nudgeAfter: string;
  readonly touchMappings: boolean;
  readonly churn: Churn;
}

/**
 * When Mappings change. `burst`: ten within half a second, as a deployment does it, and then some seconds
 * none; twice a second on average.
 * `random`: a Poisson process, twice a second on average. `1/s`, `2/s`, `5/s`: as often, so that Emissary has
 * no snapshot without a Mapping.
 */
export type Churn = keyof typeof pauses;

/** Milliseconds after the change of that number. */
const pauses = {
  burst: (turn: number) => (turn % 10 === 0 ? 2_250 + Math.random() * 4_500 : 50),
  random: () => -Math.log(Math.random()) * 500,
  "1/s": () => 1_000,
  "2/s": () => 500,
  "5/s": () => 200,
};

export interface ProofReport {
  readonly requests: number;
  /** How often what went wrong. */
  readonly failed: Readonly<Record<string, number>>;
  /** Connections to upstreams in which Envoy has not accepted the certificate of the other side. */
  readonly refused: number;
  readonly connections: { readonly encrypted: number; readonly plaintext: number };
  /** Of leaves and of roots. */
  readonly rotations: {
    readonly published: number;
    readonly served: number;
    /**
     * Overtaken by a later one before any Emissary need have had them: within two seconds, as when a mesh is
     * back.
     */
    readonly overtaken: number;
    /** Never served, and overtaken later than that. */
    readonly lost: number;
    /** Published and not served at the end. */
    readonly pending: number;
  };
  /** From published to served, in milliseconds, of those that were served. */
  readonly milliseconds: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly snapshots: { readonly complete: number; readonly incremental: number };
  readonly roots: number;
  /** Of Mappings and TLSContexts, in all, in a second, and while there was nothing to be served. */
  readonly touches: { readonly all: number; readonly perSecond: number; readonly needless: number };
  /** Alerts that have fired. */
  readonly alarms: readonly string[];
  /** What the conditions `Served` have said. */
  readonly said: readonly string[];
  /** What happened when, failures included, from the first request on. */
  readonly timeline: readonly string[];
}

const overtakenMs = 2_000;
/** At the end the last rotation may still be on its way. */
const settleMs = 45_000;

export async function prove(options: ProofOptions): Promise<ProofReport> {
  await using stack = new AsyncDisposableStack();
  const stage = await setProofStage(stack, options);
  const { cluster, namespace, emissary } = stage;
  const clusters = Object.entries(identities).map(([name, own]) => [name, Object.keys(own)] as const);
  const where = { access: cluster.access, namespace };
  const rotations = stack.use(await followRotations(where, emissary, Object.fromEntries(clusters)));
  const healing = stack.use(await followHealing(cluster.access, namespace));
  const load = startLoad(() =>
    emissary.pods.flatMap((pod) => clusterNames.map((name) => emissary.url(`/${name}/`, pod))),
  );
  const startedAt = performance.now();
  const happened: Failure[] = [];
  const note = (what: string) => void happened.push({ at: performance.now(), what });
  const over = new AbortController();
  /** Mappings change until all is served. */
  const atRest = new AbortController();

  async function pause(ms: number, { signal } = over): Promise<void> {
    await sleep(ms, undefined, { signal }).catch(() => undefined);
  }

  /** Until the run is over; the API server may be away meanwhile. */
  async function keepOn(
    act: (turn: number) => Promise<void>,
    pauseMs: (turn: number) => number,
    until = over,
  ): Promise<void> {
    for (let turn = 1; !until.signal.aborted; turn += 1) {
      await act(turn).catch(() => undefined);
      await pause(pauseMs(turn), until);
    }
  }

  let roots = 0;
  async function anotherRoot(): Promise<void> {
    roots += 1;
    note("another root");
    await rotateRoot(stage.consul, "72h");
  }

  const changing = keepOn(
    (turn) => stage.putMapping(`churn-${turn % 20}`, { service: "127.0.0.1:9", prefix: `/churn/${turn}/` }),
    pauses[options.churn],
    atRest,
  );
  const background = [
    keepOn(
      (turn) => stage.renew(String(turn)),
      () => options.leafEverySeconds * 1_000,
    ),
    keepOn(anotherRoot, () => options.rootEverySeconds * 1_000),
  ];

  async function away(leave: () => Promise<void>, come: () => Promise<void>): Promise<void> {
    await leave();
    await pause(options.awaySeconds * 1_000);
    await come();
  }

  const { apiServer } = cluster;
  const faults: Readonly<Record<string, () => Promise<void>>> = {
    "attaché is restarted": () => stage.replaceLeader("SIGTERM"),
    "the API server is unreachable": () =>
      away(
        () => apiServer.stop(),
        () => apiServer.start(),
      ),
    "attaché's leader is killed": () => stage.replaceLeader("SIGKILL"),
    "Consul is unreachable": () =>
      away(
        () => stage.wayToConsul.shut(),
        () => stage.wayToConsul.open(),
      ),
  };
  const calmMs = ((options.seconds - 2 * options.awaySeconds) * 1_000) / (Object.keys(faults).length + 1);
  for (const [what, fault] of options.awaySeconds === 0 ? [] : Object.entries(faults)) {
    await pause(calmMs);
    note(what);
    await fault();
    note(`${what}: over`);
  }
  await pause(Math.max(0, startedAt + options.seconds * 1_000 - performance.now()));

  over.abort();
  await Promise.all(background);
  const settledAt = performance.now() + settleMs;
  while (!rotations.all.every(isOver) && performance.now() < settledAt) await sleep(100);
  const seconds = (performance.now() - startedAt) / 1_000;
  atRest.abort();
  await changing;
  await load[Symbol.asyncDispose]();
  const pages = await Promise.all(emissary.pods.map((pod) => emissary.page(pod)));

  const served = rotations.all.flatMap(({ servedAt, publishedAt }) =>
    servedAt === undefined ? [] : Math.round(servedAt - publishedAt),
  );
  const overtaken = rotations.all.flatMap(({ secret, publishedAt, overtakenAt: at }) => {
    if (at === undefined) return [];
    const ms = Math.round(at - publishedAt);
    return { at, ms, what: `${secret} overtaken after ${ms} ms` };
  });
  const lost = overtaken.filter(({ ms }) => ms > overtakenMs);
  const kinds = emissary.pods.flatMap(({ reconfigures }) => reconfigures.map(({ kind }) => kind));
  return {
    requests: load.sent,
    failed: Object.fromEntries(
      [...Map.groupBy(load.failures, ({ what }) => what)].map(([what, all]) => [what, all.length]),
    ),
    refused: sum(pages.map(refusedOn)),
    connections: {
      encrypted: sum(stage.taps.map((tap) => tap.encrypted)),
      plaintext: sum(stage.taps.map((tap) => tap.plaintext)),
    },
    rotations: {
      published: rotations.all.length,
      served: served.length,
      overtaken: overtaken.length - lost.length,
      lost: lost.length,
      pending: rotations.all.filter((one) => !isOver(one)).length,
    },
    milliseconds: { p50: quantile(served, 0.5), p99: quantile(served, 0.99), max: quantile(served, 1) },
    snapshots: {
      complete: kinds.filter((kind) => kind === "complete").length,
      incremental: kinds.filter((kind) => kind === "incremental").length,
    },
    roots,
    touches: {
      all: healing.touches.length,
      perSecond: Math.round((100 * healing.touches.length) / seconds) / 100,
      needless: needless(healing.touches, rotations.all).length,
    },
    alarms: await stage.alarms(),
    said: [...healing.conditions, ...healing.advice],
    timeline: [...happened, ...load.failures, ...overtaken]
      .toSorted((one, other) => one.at - other.at)
      .map(({ at, what }) => `${Math.round(at - startedAt) / 1_000} s: ${what}`),
  };
}

/** What a run has not shown that it is to show, however slow the machine is. */
export function failuresOf({
  failed,
  refused,
  connections,
  rotations,
  touches,
  alarms,
}: ProofReport): string[] {
  const promises: Readonly<Record<string, boolean>> = {
    "no request fails": Object.keys(failed).length === 0,
    "no upstream is refused": refused === 0,
    "no connection is plaintext": connections.plaintext === 0,
    "every leaf and root is served": rotations.lost + rotations.pending === 0,
    "there are at most 2 touches a second": touches.perSecond <= 2,
    "nothing is touched while all is served": touches.needless === 0,
    "no alert fires": alarms.length === 0,
  };
  return Object.keys(promises).filter((promise) => promises[promise] === false);
}

function refusedOn(page: string): number {
  const counts = page.matchAll(/^envoy_cluster_ssl_fail_verify_error\{.*\} (\d+)$/gm);
  return sum([...counts].map(([, count]) => Number(count)));
}

function isOver({ servedAt, overtakenAt }: Rotation): boolean {
  return (servedAt ?? overtakenAt) !== undefined;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
