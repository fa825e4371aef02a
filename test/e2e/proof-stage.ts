import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConsulAgent, startConsul } from "../peers/consul/agent.ts";
import { startSidecar } from "../peers/consul/sidecar.ts";
import { startConsulUpstream } from "../peers/consul/upstream.ts";
import { type Gate, openGate } from "../peers/gate.ts";
import { type AttacheProcess, startAttacheProcess } from "../peers/kubernetes/attache-process.ts";
import { type OwnCluster, startCluster } from "../peers/kubernetes/cluster.ts";
import { type Emissary, startEmissary } from "./emissary.ts";
import { startPrometheus } from "../peers/prometheus/server.ts";
import { openTap, type Tap } from "./tap.ts";

/** Identities, and for each cluster that uses one the upstream behind it. */
export const identities: Readonly<Record<string, Readonly<Record<string, "web" | "shop">>>> = {
  edge: { "edge-web": "web", "edge-shop": "shop" },
  partner: { "partner-shop": "shop" },
};

/** Of all clusters, which are also the first segments of the paths that lead to them. */
export const clusterNames = Object.values(identities).flatMap((clusters) => Object.keys(clusters));

/** A machine that has too much to do is slow, and does not fail. */
const timeoutMs = 60_000;

/** Services get a leaf of a new root at once, and not within the half minute over which Consul spreads that. */
const atOnce = { connect: { test_ca_leaf_root_change_spread: "1ms" } };

/**
 * All that the proof needs, served: a cluster, Consul with two services, an Emissary of two pods, and two
 * replicas of attaché.
 */
export interface ProofStage {
  readonly cluster: OwnCluster;
  readonly namespace: string;
  readonly consul: ConsulAgent;
  /** Between attaché and Consul's servers. */
  readonly wayToConsul: Gate;
  /** Before the services. */
  readonly taps: readonly Tap[];
  readonly emissary: Emissary;
  /** Ends the leader of the replicas by this signal, and starts another one in its place. */
  replaceLeader(signal: NodeJS.Signals): Promise<void>;
  /** Has each identity get a new leaf. */
  renew(value: string): Promise<void>;
  putMapping(name: string, spec: object): Promise<void>;
  /** The alerts that have fired, in a real Prometheus that scrapes all replicas each second. */
  alarms(): Promise<readonly string[]>;
}

export async function setProofStage(
  stack: AsyncDisposableStack,
  { nudgeAfter, touchMappings }: { readonly nudgeAfter: string; readonly touchMappings: boolean },
): Promise<ProofStage> {
  const folder = await mkdtemp(join(tmpdir(), "attache-proof-"));
  stack.defer(() => rm(folder, { recursive: true }));
  const cluster = stack.use(await startCluster());
  const { admin, access } = cluster;
  const consul = stack.use(await startConsul({ folder, more: atOnce }));
  const wayToConsul = stack.use(await openGate(consul.grpcPort));
  const upstreams = { web: await startProxied("web"), shop: await startDirect("shop") };
  const namespace = await cluster.namespace();
  const emissary = stack.use(await startEmissary({ access, admin, namespace, pods: 2 }));
  const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
  const { kubeconfig } = await cluster.serviceAccount(namespace, "attache", [everything], { in: "*" });
  const replicas: AttacheProcess[] = [];
  stack.defer(async () => {
    for (const replica of replicas) await replica[Symbol.asyncDispose]();
  });
  const emissaryPath = `/apis/getambassador.io/v3alpha1/namespaces/${namespace}`;
  const identityPath = `/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshcertificates`;

  /** A service behind Consul's mTLS proxy. */
  async function startProxied(name: string): Promise<Tap> {
    const server = createServer((_, response) => response.end("served"));
    // Few requests a connection: each handshake shows what is loaded now.
    server.maxRequestsPerSocket = 10;
    // It closes none of itself: a request that is on its way then fails, in any ingress.
    server.keepAliveTimeout = 0;
    await once(server.listen(0, "127.0.0.1"), "listening");
    const sidecar = stack.use(await startSidecar(consul, name, server));
    return stack.use(await openTap(sidecar.port));
  }

  /** One that resumes no TLS session: what Envoy has loaded shows in each connection. */
  async function startDirect(name: string): Promise<Tap> {
    const upstream = stack.use(
      await startConsulUpstream(consul, name, (_, response) => response.end("served")),
    );
    return stack.use(await openTap(upstream.port));
  }

  function startReplica(): Promise<AttacheProcess> {
    return startAttacheProcess({
      meshes: {
        consul: {
          adapter: "consul",
          addresses: [`http://127.0.0.1:${wayToConsul.port}`],
          serverWatch: false,
        },
      },
      store: {
        kind: "kubernetes",
        kubernetes: { namespaces: [namespace], kubeconfig, leaderElection: { leaseDuration: "5s" } },
      },
      emissary: [{ ...emissary.settings, nudgeAfter, touchMappings }],
    });
  }

  async function putMapping(name: string, spec: object): Promise<void> {
    await admin.apply(`${emissaryPath}/mappings/${name}`, {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name },
      spec: { hostname: "*", prefix: `/${name}/`, ...spec },
    });
  }

  replicas.push(await startReplica(), await startReplica());
  const targets = () => [
    { addresses: replicas.map(({ port }) => `127.0.0.1:${port}`), labels: { namespace } },
  ];
  const prometheus = stack.use(await startPrometheus(targets()));
  for (const [identity, clusters] of Object.entries(identities)) {
    await admin.create(identityPath, {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name: identity },
      spec: { consul: { service: identity } },
    });
    const context = `${emissaryPath}/tlscontexts/${identity}`;
    await until(
      async () => (await admin.call("GET", context)).status === 200,
      `TLSContext ${identity}`,
      () => replicas.map((replica) => replica.output()).join("\n"),
    );
    for (const [name, upstream] of Object.entries(clusters)) {
      await putMapping(name, {
        service: `127.0.0.1:${upstreams[upstream].port}`,
        tls: identity,
        stats_name: name,
        timeout_ms: timeoutMs,
        connect_timeout_ms: timeoutMs,
      });
    }
  }
  for (const pod of emissary.pods) {
    await until(async () => {
      const shown = await emissary.served(pod);
      const answers = await Promise.all(clusterNames.map((name) => emissary.request(`/${name}/`, pod)));
      return clusterNames.every((name) => shown.has(name)) && answers.every(({ ok }) => ok);
    }, `the first answers through ${pod.host}`);
  }

  return {
    cluster,
    namespace,
    consul,
    wayToConsul,
    taps: Object.values(upstreams),
    emissary,
    putMapping,
    async alarms() {
      const fired = await prometheus.query(
        'group by (alertname) (last_over_time(ALERTS{alertstate="firing"}[1h]))',
      );
      return fired.map(({ metric }) => metric["alertname"] ?? "");
    },
    async replaceLeader(signal) {
      const leads = await Promise.all(replicas.map((replica) => replica.metric("attache_leader")));
      const at = Math.max(0, leads.indexOf(1));
      const gone = replicas[at];
      gone?.signal(signal);
      await gone?.ended;
      await gone?.[Symbol.asyncDispose]();
      replicas[at] = await startReplica();
      await prometheus.retarget(targets());
    },
    async renew(value) {
      const annotations = { "attache.dev/renew": value };
      for (const identity of Object.keys(identities)) {
        await admin.patch(`${identityPath}/${identity}`, { metadata: { annotations } });
      }
    },
  };
}

/** @throws Error if it takes more than a minute. */
async function until(condition: () => Promise<boolean>, what: string, more = () => ""): Promise<void> {
  const endsAt = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > endsAt) throw new Error(`${what} did not happen within a minute\n${more()}`);
    await sleep(100);
  }
}
