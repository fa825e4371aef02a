/**
 * One pod of an Emissary-ingress 4.1.0, as far as it decides what becomes of a rotation: a test instrument, and
 * no Emissary. The Envoy in it is real; what gives it its configuration imitates Emissary, by rules that were
 * measured on a running one or stand in its source. README.md lists them with their sources:
 *
 * - **Snapshots.** accumulator.ts tells when Emissary looks at what has changed. What it sees during a reconfigure
 *   is one snapshot after it (`SnapshotHolder.Notify` in `cmd/entrypoint/watcher.go`).
 * - **Complete or incremental.** `IR.check_deltas`: if any Mapping or TCPMapping changed, of whatever namespace
 *   or `ambassador_id`, the reconfigure is incremental: clusters are kept as they are, but for those of the
 *   Mappings that changed, be it only in an annotation. So a Secret that shares such a snapshot is lost, or
 *   split, and an annotation on its TLSContext that does so heals nothing; one on a Mapping heals its own
 *   cluster. Any other snapshot is complete.
 * - **Validation first.** `AmbassadorEventWatcher.validate_envoy_config` in `diagd.py`: Envoy is asked whether
 *   it would take the whole configuration. If not, nothing changes (frozen), and what was compiled is still
 *   what the next incremental reconfigure starts from.
 * - **`/metrics`** is Envoy's own page, passed on, with Emissary's gauge of how long the last reconfigure took,
 *   refused ones included.
 *
 * What becomes of each object is described in compile.ts. Compiling is quicker here than in Emissary, which matters
 * with a thousand Mappings.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { request } from "undici";
import type { Access } from "../peers/kubernetes/rest.ts";
import { openAccumulator } from "./accumulator.ts";
import { type Compiled, compile, keyOf, pairsOfHosts, type World } from "./compile.ts";
import { type EnvoyAddress, startEnvoy } from "./envoy.ts";
import type { EnvoyPeer } from "./envoy-process.ts";
import { type Changed, follow, type Followed } from "./follow.ts";
import { followIstioFiles, type IstioFiles } from "./istio-files.ts";

export interface PodOptions extends EnvoyAddress {
  readonly access: Access;
  readonly metricsPort: number;
  /** For its files; its giver removes it. */
  readonly folder: string;
  readonly ambassadorId: string;
  /** Which it watches. */
  readonly namespaces: readonly string[];
  /** `AMBASSADOR_RECONFIG_MAX_DELAY`. */
  readonly reconfigMaxDelayMs: number;
  readonly envoy: EnvoyPeer;
  readonly istioFiles?: IstioFiles;
}

export interface Pod extends AsyncDisposable {
  readonly host: string;
  /** Of all reconfigures, in their order. */
  readonly reconfigures: readonly Reconfigure[];
}

export interface Reconfigure {
  readonly kind: "complete" | "incremental";
  /** Whether Envoy took it. */
  readonly isAccepted: boolean;
  /** What changed, as `tlscontexts/NAMESPACE/NAME`. */
  readonly changes: readonly string[];
}

const emissary = ["mappings", "tcpmappings", "authservices", "ratelimitservices", "hosts", "tlscontexts"];

export async function startPod(options: PodOptions): Promise<Pod> {
  const { host, metricsPort, ambassadorId, reconfigMaxDelayMs } = options;
  const envoy = await startEnvoy(options.folder, options, options.envoy);
  const world = new Map<string, Map<string, Followed>>();
  const reconfigures: Reconfigure[] = [];
  /** Those that wait for a tick, and those that wait for a reconfigure, with what was seen when they were taken. */
  let waiting: Changed[] = [];
  let taken: Changed[] = [];
  let seen: World = new Map();
  let cache: Compiled | undefined;
  let tookMs = 0;
  let underWay: Promise<void> | undefined;
  let isOver = false;
  const accumulator = openAccumulator(reconfigMaxDelayMs, take);

  function see(change: Changed): void {
    const { plural, before, after } = change;
    const objects = world.get(plural) ?? new Map<string, Followed>();
    world.set(plural, objects);
    if (before !== undefined) objects.delete(before.metadata.uid);
    if (after !== undefined) objects.set(after.metadata.uid, after);
    waiting.push(change);
    if (cache !== undefined) accumulator.changed();
  }

  function take(): void {
    taken = [...taken, ...waiting];
    waiting = [];
    seen = new Map([...world].map(([plural, objects]) => [plural, [...objects.values()]]));
    goOn();
  }

  function goOn(): void {
    if (underWay !== undefined || isOver || (taken.length === 0 && cache !== undefined)) return;
    underWay = reconfigure().finally(() => {
      underWay = undefined;
      goOn();
    });
  }

  async function reconfigure(): Promise<void> {
    const startedAt = performance.now();
    const changes = taken;
    taken = [];
    const mappings = changes.filter(({ plural }) => plural === "mappings" || plural === "tcpmappings");
    const isIncremental = cache !== undefined && mappings.length > 0;
    cache = isIncremental
      ? compile(seen, ambassadorId, cache, new Set(mappings.map(named)))
      : compile(seen, ambassadorId);
    const isAccepted = await envoy.configure(cache, pairsOfHosts(seen, ambassadorId));
    tookMs = performance.now() - startedAt;
    const kind = isIncremental ? "incremental" : "complete";
    reconfigures.push({ kind, isAccepted, changes: changes.map(named) });
  }

  const metrics = createServer((incoming, response) => {
    if (incoming.url?.split("?")[0] !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    const own = [
      "# HELP ambassador_reconfiguration_time_seconds Elapsed time on reconfiguration operations",
      "# TYPE ambassador_reconfiguration_time_seconds gauge",
      `ambassador_reconfiguration_time_seconds ${tookMs / 1_000}\n`,
    ].join("\n");
    request(`http://${host}:${options.adminPort}/stats/prometheus`)
      .then(({ body }) => body.text())
      .then(
        (page) => response.setHeader("content-type", "text/plain; charset=utf-8").end(`${page}\n${own}`),
        () => response.writeHead(503).end(),
      );
  });

  const paths = options.namespaces.flatMap((namespace) => [
    ...emissary.map((plural) => `/apis/getambassador.io/v3alpha1/namespaces/${namespace}/${plural}`),
    `/api/v1/namespaces/${namespace}/secrets`,
    `/api/v1/namespaces/${namespace}/services`,
    `/apis/networking.k8s.io/v1/namespaces/${namespace}/ingresses`,
  ]);
  const following = await follow(options.access, paths, see);
  const sidecar = options.istioFiles && (await followIstioFiles(options.istioFiles, see));
  take();
  await underWay;
  if (waiting.length > 0) accumulator.changed();
  await once(metrics.listen(metricsPort, host), "listening");

  return {
    host,
    reconfigures,
    async [Symbol.asyncDispose]() {
      isOver = true;
      accumulator[Symbol.dispose]();
      metrics.close();
      metrics.closeAllConnections();
      await following[Symbol.asyncDispose]();
      await sidecar?.[Symbol.asyncDispose]();
      await underWay;
      await envoy[Symbol.asyncDispose]();
    },
  };
}

function named({ plural, before, after }: Changed): string {
  const object = after ?? before;
  if (object === undefined) throw new Error("a change of nothing");
  return keyOf(plural, object);
}
