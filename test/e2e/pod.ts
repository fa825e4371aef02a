/**
 * One pod of an Emissary-ingress 4.1, as far as a rotation's fate depends on it: a test instrument, and no
 * Emissary. The Envoy in it is real; what gives it its configuration imitates, by rules that were measured on
 * a running Emissary:
 *
 * - **Snapshots.** A change is taken up at once, unless that is within one second of the last snapshot or
 *   during a reconfigure: then all that comes meanwhile is one snapshot.
 * - **Complete or incremental.** If any Mapping or TCPMapping changed, of whatever namespace or
 *   `ambassador_id`, the reconfigure is incremental: clusters are kept as they are, but for those of the
 *   Mappings that changed. So a Secret that shares such a snapshot is lost, or split, and an annotation on
 *   its TLSContext that does so heals nothing. Any other snapshot is complete.
 * - **Validation first.** Envoy is asked whether it would take the whole configuration. If not, nothing
 *   changes (frozen), and what was compiled is still what the next incremental reconfigure starts from.
 * - **`/metrics`** is Envoy's own page, passed on, with Emissary's gauge of how long the last reconfigure
 *   took.
 *
 * A Mapping counts as changed also when only its metadata did: an annotation on each of two Mappings healed
 * three of three lost leaves within 1.8 s
 * ("Under steady churn"). What becomes of each object is told in compile.ts. Compiling is quicker here than
 * in Emissary, which matters with a thousand Mappings.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { request } from "undici";
import type { Access } from "../peers/kubernetes/rest.ts";
import { type Compiled, compile, keyOf } from "./compile.ts";
import { type EnvoyAddress, startEnvoy } from "./envoy.ts";
import { type Changed, follow, type Followed } from "./follow.ts";

export interface PodOptions extends EnvoyAddress {
  readonly access: Access;
  readonly metricsPort: number;
  /** For its files; whoever gives it removes it. */
  readonly folder: string;
  readonly ambassadorId: string;
  /** Which it watches. */
  readonly namespaces: readonly string[];
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
const windowMs = 1_000;

export async function startPod(options: PodOptions): Promise<Pod> {
  const { host, metricsPort, ambassadorId } = options;
  const envoy = await startEnvoy(options.folder, options);
  const world = new Map<string, Map<string, Followed>>();
  const reconfigures: Reconfigure[] = [];
  let changes: Changed[] = [];
  let cache: Compiled | undefined;
  let startedAt = 0;
  let tookMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;
  let isOver = false;

  function take(change: Changed): void {
    const { plural, before, after } = change;
    const objects = world.get(plural) ?? new Map<string, Followed>();
    world.set(plural, objects);
    if (before !== undefined) objects.delete(before.metadata.uid);
    if (after !== undefined) objects.set(after.metadata.uid, after);
    changes.push(change);
    if (cache !== undefined) schedule();
  }

  function schedule(): void {
    if (timer !== undefined || underWay !== undefined || isOver || changes.length === 0) return;
    timer = setTimeout(
      () => {
        timer = undefined;
        underWay = reconfigure().finally(() => {
          underWay = undefined;
          schedule();
        });
      },
      Math.max(0, startedAt + windowMs - performance.now()),
    );
  }

  async function reconfigure(): Promise<void> {
    startedAt = performance.now();
    const taken = changes;
    changes = [];
    const mappings = taken.filter(({ plural }) => plural === "mappings" || plural === "tcpmappings");
    const isIncremental = cache !== undefined && mappings.length > 0;
    const seen = new Map([...world].map(([plural, objects]) => [plural, [...objects.values()]]));
    cache = isIncremental
      ? compile(seen, ambassadorId, cache, new Set(mappings.map(named)))
      : compile(seen, ambassadorId);
    const isAccepted = await envoy.configure(cache);
    tookMs = performance.now() - startedAt;
    const kind = isIncremental ? "incremental" : "complete";
    reconfigures.push({ kind, isAccepted, changes: taken.map(named) });
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
  ]);
  const following = await follow(options.access, paths, take);
  await reconfigure();
  schedule();
  await once(metrics.listen(metricsPort, host), "listening");

  return {
    host,
    reconfigures,
    async [Symbol.asyncDispose]() {
      isOver = true;
      clearTimeout(timer);
      metrics.close();
      metrics.closeAllConnections();
      await following[Symbol.asyncDispose]();
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
