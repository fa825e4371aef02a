import type { Clock } from "../runtime/clock.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import type { Logger } from "../telemetry/logger.ts";
import { contentTypes, type ExpositionFormat, formatFor, type Metrics } from "../telemetry/metrics.ts";
import type { State } from "../telemetry/state.ts";
import { sharedPage } from "./metrics-page.ts";
import { type Finding, liveness, readiness } from "./probes.ts";
import {
  type BoundAddress,
  type HttpAnswer,
  type ListenOptions,
  type Route,
  type Routes,
  serveRoutes,
} from "./routes.ts";

interface ServerOptions {
  readonly listen: ListenOptions;
  /**
   * Serves the probes alone, so that clients of `listen` cannot delay the kubelet. Default: only `listen`
   * does.
   */
  readonly probes?: ListenOptions | undefined;
  readonly metrics: Metrics;
  readonly state: State;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** To dispose of it ends it within a second: requests under way have so long to be answered. */
interface RunningServer extends BoundAddress, AsyncDisposable {
  readonly probes: BoundAddress | undefined;
}

/**
 * Serves `/livez`, `/readyz` and `/metrics` to any client, by GET or HEAD; nothing here changes anything.
 * @throws ServerError `ATTACHE_SERVER_LISTEN` if the address cannot be listened on.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, probes } = options;
  await using stack = new AsyncDisposableStack();
  const ended = new AbortController();
  stack.defer(() => ended.abort(new Error("the server has ended")));
  const routes = probeRoutes(options);
  const metrics = metricsRoutes(options, ended.signal);
  const all = stack.use(await serveRoutes(listen, new Map([...routes, ...metrics]), options));
  const own = probes && stack.use(await serveRoutes(probes, routes, options));
  const owned = stack.move();
  return { ...all, probes: own, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function probeRoutes({ state }: ServerOptions): Routes {
  let wasReady = false;
  return new Map<string, Route>([
    ["/livez", ({ url }) => probe(liveness(state), url.searchParams.has("verbose"))],
    [
      "/readyz",
      ({ url }) => {
        const finding = readiness(state, wasReady);
        wasReady ||= finding.passes;
        return probe(finding, url.searchParams.has("verbose"));
      },
    ],
  ]);
}

/**
 * One page is rendered at a time: it takes megabytes and tens of milliseconds, and the port has no
 * authentication.
 */
function metricsRoutes({ metrics, clock }: ServerOptions, ended: AbortSignal): Routes {
  const turns = new Semaphore(1);
  const pageOf = (format: ExpositionFormat) =>
    // Encoded once for all who read it.
    sharedPage(
      () => turns.run(() => Array.fromAsync(metrics.exposition(format), (piece) => Buffer.from(piece))),
      { clock, ended },
    );
  const pages = { prometheus: pageOf("prometheus"), openmetrics: pageOf("openmetrics") };
  return new Map<string, Route>([
    [
      "/metrics",
      async ({ headers }) => {
        const format = formatFor(headers.accept);
        return { status: 200, type: contentTypes[format], ...(await pages[format]()) };
      },
    ],
  ]);
}

/** As Kubernetes' own servers do: `ok` is enough unless something fails or more is asked for. */
function probe({ passes, lines }: Finding, isVerbose: boolean): HttpAnswer {
  const text = passes && !isVerbose ? "ok" : lines.join("\n");
  return { status: passes ? 200 : 503, type: "text/plain; charset=utf-8", pieces: [`${text}\n`] };
}
