/**
 * The proof: requests through an Emissary to upstreams in a real Consul mesh, while leaves and roots rotate, Mappings change, and one after the other of all that
 * attaché depends on goes away, attaché included.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startConsul } from "../peers/consul/agent.ts";
import { rotateRoot } from "../peers/consul/root.ts";
import { startSidecar } from "../peers/consul/sidecar.ts";
import { openGate } from "../peers/gate.ts";
import { type AttacheProcess, startAttacheProcess } from "../peers/kubernetes/attache-process.ts";
import { startCluster } from "../peers/kubernetes/cluster.ts";
import { startEmissary } from "./emissary.ts";
import { startLoad } from "./load.ts";
import { followRotations, type Rotation } from "./rotations.ts";
import { openTap } from "./tap.ts";

export interface ProofOptions {
  readonly seconds: number;
  /** How long the API server and Consul stay away. */
  readonly awaySeconds: number;
  readonly rootEverySeconds: number;
  /** How long attaché waits before it nudges; so long that it never does, to see what is lost without. */
  readonly nudgeAfter: string;
  readonly churn: Churn;
}

/**
 * When Mappings change, twice a second on average: `burst`: ten within half a second, as a deployment does it, and then some seconds none.
 * `random`: each when it likes (a Poisson process). `steady`: every half second, so that Emissary has no snapshot without a Mapping.
 */
export type Churn = keyof typeof pauses;

/** Milliseconds after the change of that number. */
const pauses = {
  burst: (turn: number) => (turn % 10 === 0 ? 2_250 + Math.random() * 4_500 : 50),
  random: () => -Math.log(Math.random()) * 500,
  steady: () => 500,
};

export interface ProofReport {
  readonly requests: number;
  /** How often what went wrong. */
  readonly failed: Readonly<Record<string, number>>;
  /** What happened when, failures included, from the first request on. */
  readonly timeline: readonly string[];
  readonly connections: { readonly encrypted: number; readonly plaintext: number };
  readonly rotations: {
    readonly published: number;
    readonly served: number;
    /** Never served: a later one was published before. */
    readonly overtaken: number;
    /** Published and not served at the end. */
    readonly pending: number;
  };
  /** From published to served, in milliseconds, of those that were served; those on the way not counted. */
  readonly milliseconds: { readonly p50: number; readonly p99: number; readonly max: number };
  readonly snapshots: { readonly complete: number; readonly incremental: number };
  readonly roots: number;
}

const leafEveryMs = 5_000;
const patienceMs = 15_000;
/** Of a root rotation the last leaf comes up to half a minute later: Consul's own delay. */
const settleMs = 45_000;

/** Identities, and for each cluster that uses one the upstream behind it. */
const identities: Readonly<Record<string, Readonly<Record<string, "web" | "shop">>>> = {
  edge: { "edge-web": "web", "edge-shop": "shop" },
  partner: { "partner-shop": "shop" },
};

export async function prove(options: ProofOptions): Promise<ProofReport> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "attache-proof-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const cluster = stack.use(await startCluster());
  const { admin, access } = cluster;
  const consul = stack.use(await startConsul({ folder }));
  const way = stack.use(await openGate(consul.grpcPort));

  const upstreams = {
    web: await startUpstream("web"),
    shop: await startUpstream("shop"),
  };

  async function startUpstream(name: string) {
    // Few requests a connection: each handshake shows what is loaded now.
    const server = createServer((_, response) => response.end("served"));
    server.maxRequestsPerSocket = 10;
    // It closes none of itself: a request that is on its way then fails, in any ingress.
    server.keepAliveTimeout = 0;
    await once(server.listen(0, "127.0.0.1"), "listening");
    const sidecar = stack.use(await startSidecar(consul, name, server));
    return stack.use(await openTap(sidecar.port));
  }

  const namespace = await cluster.namespace();
  const emissary = stack.use(await startEmissary({ access, admin, namespace, pods: 2 }));
  const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
  const { kubeconfig } = await cluster.serviceAccount(namespace, "attache", [everything], { in: "*" });
  const settings = {
    meshes: {
      consul: { adapter: "consul", addresses: [`http://127.0.0.1:${way.port}`], serverWatch: false },
    },
    store: {
      kind: "kubernetes",
      kubernetes: { namespaces: [namespace], kubeconfig, leaderElection: { leaseDuration: "5s" } },
    },
    emissary: [{ ...emissary.settings, nudgeAfter: options.nudgeAfter }],
  };
  const replicas = [await startReplica(), await startReplica()];
  stack.defer(async () => {
    for (const replica of replicas) await replica[Symbol.asyncDispose]();
  });

  function startReplica(): Promise<AttacheProcess> {
    return startAttacheProcess(settings);
  }

  const emissaryPath = `/apis/getambassador.io/v3alpha1/namespaces/${namespace}`;
  const identityPath = `/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshidentities`;

  async function putMapping(name: string, spec: object): Promise<void> {
    await admin.apply(`${emissaryPath}/mappings/${name}`, {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name },
      spec: { hostname: "*", prefix: `/${name}/`, ...spec },
    });
  }

  for (const identity of Object.keys(identities)) {
    await admin.create(identityPath, {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshIdentity",
      metadata: { name: identity },
      spec: { consul: { service: identity } },
    });
    await until(
      async () => (await admin.call("GET", `${emissaryPath}/tlscontexts/${identity}`)).status === 200,
    );
  }
  const names = Object.values(identities).flatMap((clusters) => Object.keys(clusters));
  for (const [identity, clusters] of Object.entries(identities)) {
    for (const [name, upstream] of Object.entries(clusters)) {
      await putMapping(name, {
        service: `127.0.0.1:${upstreams[upstream].port}`,
        tls: identity,
        stats_name: name,
        // A machine that has too much to do is slow, and does not fail.
        timeout_ms: patienceMs,
        connect_timeout_ms: patienceMs,
      });
    }
  }
  for (const pod of emissary.pods) {
    await until(async () => {
      const shown = await emissary.served(pod);
      const answers = await Promise.all(names.map((name) => emissary.request(`/${name}/`, pod)));
      return names.every((name) => shown.has(name)) && answers.every(({ ok }) => ok);
    });
  }

  const over = new AbortController();
  const rotations = stack.use(
    await followRotations(
      { access, namespace },
      emissary,
      Object.fromEntries(
        Object.entries(identities).map(([name, clusters]) => [`${name}-mesh-cert`, Object.keys(clusters)]),
      ),
    ),
  );
  const load = startLoad(() =>
    emissary.pods.flatMap((pod) => names.map((name) => emissary.url(`/${name}/`, pod))),
  );
  const startedAt = performance.now();
  const timeline: { readonly at: number; readonly what: string }[] = [];
  const note = (what: string) => void timeline.push({ at: performance.now(), what });
  let roots = 0;
  const background = [
    every(leafEveryMs, async (turn) => {
      const annotations = { "attache.dev/renew": String(turn) };
      for (const identity of Object.keys(identities)) {
        await admin.patch(`${identityPath}/${identity}`, { metadata: { annotations } });
      }
    }),
    every(options.rootEverySeconds * 1_000, async () => {
      roots += 1;
      note("another root");
      await rotateRoot(consul, "72h");
    }),
    churn(options.churn, (turn) =>
      putMapping(`churn-${turn % 20}`, { service: "127.0.0.1:9", prefix: `/churn/${turn}/` }),
    ),
  ];

  /** Until the run is over; the API server may be away meanwhile. */
  async function every(ms: number, act: (turn: number) => Promise<void>): Promise<void> {
    for (let turn = 1; !over.signal.aborted; turn += 1) {
      await act(turn).catch(() => undefined);
      await pause(ms);
    }
  }

  async function churn(kind: Churn, act: (turn: number) => Promise<void>): Promise<void> {
    for (let turn = 1; !over.signal.aborted; turn += 1) {
      await act(turn).catch(() => undefined);
      await pause(pauses[kind](turn));
    }
  }

  async function pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: over.signal }).catch(() => undefined);
  }

  async function leader(): Promise<number> {
    const leads = await Promise.all(replicas.map((replica) => replica.metric("attache_leader")));
    return Math.max(0, leads.indexOf(1));
  }

  async function replace(signal: NodeJS.Signals): Promise<void> {
    const at = await leader();
    const gone = replicas[at];
    gone?.signal(signal);
    await gone?.ended;
    await gone?.[Symbol.asyncDispose]();
    replicas[at] = await startReplica();
  }

  const faults: Readonly<Record<string, () => Promise<void>>> = {
    "attaché is restarted": () => replace("SIGTERM"),
    "the API server is away": async () => {
      await cluster.apiServer.stop();
      await pause(options.awaySeconds * 1_000);
      await cluster.apiServer.start();
    },
    "attaché's leader is killed": () => replace("SIGKILL"),
    "Consul is away": async () => {
      await way.shut();
      await pause(options.awaySeconds * 1_000);
      await way.open();
    },
  };
  const endsAt = performance.now() + options.seconds * 1_000;
  const calm = (options.seconds * 1_000 - 2 * options.awaySeconds * 1_000) / (Object.keys(faults).length + 1);
  for (const [what, fault] of Object.entries(faults)) {
    await pause(calm);
    note(what);
    await fault();
    note(`${what}: over`);
  }
  await pause(Math.max(0, endsAt - performance.now()));

  over.abort();
  await Promise.all(background);
  const isOver = ({ servedAt, overtakenAt }: Rotation) => (servedAt ?? overtakenAt) !== undefined;
  await until(() => Promise.resolve(rotations.all.every(isOver)), settleMs).catch(() => undefined);
  await load[Symbol.asyncDispose]();

  const served = rotations.all.flatMap(({ servedAt, publishedAt }) =>
    servedAt === undefined ? [] : Math.round(servedAt - publishedAt),
  );
  const overtaken = rotations.all.flatMap(({ secret, publishedAt, overtakenAt }) => {
    if (overtakenAt === undefined) return [];
    return { at: overtakenAt, what: `${secret} overtaken after ${Math.round(overtakenAt - publishedAt)} ms` };
  });
  const kinds = emissary.pods.flatMap(({ reconfigures }) => reconfigures.map(({ kind }) => kind));
  const taps = Object.values(upstreams);
  return {
    requests: load.sent,
    failed: Object.fromEntries(
      [...Map.groupBy(load.failures, ({ what }) => what)].map(([what, all]) => [what, all.length]),
    ),
    timeline: [...timeline, ...load.failures, ...overtaken]
      .toSorted((one, other) => one.at - other.at)
      .map(({ at, what }) => `${Math.round(at - startedAt) / 1_000} s: ${what}`),
    connections: {
      encrypted: sum(taps.map(({ encrypted }) => encrypted)),
      plaintext: sum(taps.map(({ plaintext }) => plaintext)),
    },
    rotations: {
      published: rotations.all.length,
      served: served.length,
      overtaken: overtaken.length,
      pending: rotations.all.filter((one) => !isOver(one)).length,
    },
    milliseconds: { p50: quantile(served, 0.5), p99: quantile(served, 0.99), max: quantile(served, 1) },
    snapshots: {
      complete: kinds.filter((kind) => kind === "complete").length,
      incremental: kinds.filter((kind) => kind === "incremental").length,
    },
    roots,
  };
}

async function until(condition: () => Promise<boolean>, patienceMs = 60_000): Promise<void> {
  const endsAt = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error(`waited in vain for ${condition.toString()}`);
    await sleep(100);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

function quantile(numbers: readonly number[], q: number): number {
  const sorted = numbers.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
