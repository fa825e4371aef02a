import { keyOf } from "../api/mesh-certificate.ts";
import type { Clock } from "../runtime/clock.ts";
import { LatestValue } from "../runtime/latest-value.ts";
import { type Requeue, Worker } from "../runtime/worker.ts";
import { ServerError } from "../server/failure.ts";
import {
  type BoundAddress,
  type ListenOptions,
  type Request,
  type Route,
  serveRoutes,
} from "../server/routes.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Commands } from "./commands.ts";
import { detailOf } from "./detail.ts";
import type { History } from "./history.ts";
import { fromOwnPage } from "./loopback.ts";
import { overviewOf } from "./overview.ts";
import { type ConsoleAssets, pageHeaders, pageRoutes, zipped } from "./page.ts";
import type { Overview } from "./page-data.ts";
import { rowOf, Snapshots } from "./snapshots.ts";
import type { ConsoleSource, Place } from "./source.ts";

interface ConsoleOptions {
  readonly listen: ListenOptions;
  readonly source: ConsoleSource;
  readonly history: History;
  readonly place: Place;
  readonly installation: string;
  readonly version: string;
  readonly assets: ConsoleAssets;
  /** Called for each request. @throws ServerError to refuse it. */
  readonly admit: (request: Request) => Promise<void> | void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The state is looked at so often while a page is open. */
const refreshMs = 1_000;

/** What is kept of the identities is dropped when nothing has been read for as long. */
const keptMs = 10_000;

/** A page gets a message at least so often, by which it sees that the process lives. */
const beatMs = 5_000;

/** While a feed is open, its request is admitted again so often: its token may have been revoked. */
const admitMs = 10_000;

/** A feed ends after as long, and the page asks for another one. */
const feedMs = 300_000;

/** Pages that are kept up to date at the same time. */
export const maxReaders = 32;

const json = "application/json; charset=utf-8";

/**
 * Serves the console: the page, a feed of the first view as server-sent events, and the identities as JSON.
 * It only reads. A slow reader misses messages and gets the newest: nothing is queued for it.
 * @throws ServerError `ATTACHE_SERVER_LISTEN` if the address cannot be listened on.
 */
export async function startConsole(options: ConsoleOptions): Promise<BoundAddress & AsyncDisposable> {
  const { listen, source, history, clock, logger, assets, admit } = options;
  const commands = new Commands(options.place);
  const snapshots = new Snapshots(source, clock);
  const feed = new LatestValue<Buffer>();
  const ended = new AbortController();
  await using stack = new AsyncDisposableStack();
  let readers = 0;
  let sentText = "";
  let sentMs = -Infinity;
  let lookedMs = -Infinity;
  let underWay: Promise<void> | undefined;

  /** However often it is asked, twice in an interval at most. */
  async function look(): Promise<void> {
    const nowMs = clock.elapsedMs();
    if (nowMs - lookedMs >= refreshMs / 2) {
      lookedMs = nowMs;
      underWay = refresh();
    }
    await underWay;
  }

  async function refresh(): Promise<void> {
    // The one before may have thrown, or take longer than an interval.
    await Promise.allSettled([underWay]);
    await snapshots.refresh();
    worker.enqueue("tick");
    const tally = await snapshots.tally(commands);
    const nowMs = clock.elapsedMs();
    const overview = {
      version: snapshots.version,
      attache: {
        version: options.version,
        installation: options.installation,
        place: placeText(options.place),
      },
      ...overviewOf(source, tally, { commands, history }),
    };
    const text = JSON.stringify(overview);
    if (text === sentText && nowMs - sentMs < beatMs) return;
    [sentText, sentMs] = [text, nowMs];
    const message: Overview = { now: clock.now().toISOString(), ...overview };
    feed.publish(Buffer.from(`data: ${JSON.stringify(message)}\n\n`));
  }

  const worker = stack.use(
    new Worker<"tick">({
      reconcile: tick,
      onError: (_, error) => logger.log("Bug", { what: "refreshing the console", err: error }),
      clock,
    }),
  );

  async function tick(): Promise<Requeue | undefined> {
    if (readers > 0) {
      await look();
    } else if (clock.elapsedMs() - lookedMs >= keptMs) {
      snapshots.clear();
      return undefined;
    }
    return { requeueAfterMs: refreshMs };
  }

  async function* whileAdmitted(request: Request): AsyncGenerator<Buffer> {
    const begunMs = clock.elapsedMs();
    let admittedMs = begunMs;
    for await (const message of feed.subscribe(request.closed)) {
      const nowMs = clock.elapsedMs();
      if (nowMs - begunMs >= feedMs) return;
      if (nowMs - admittedMs >= admitMs) {
        if (!(await isStillAdmitted(request))) return;
        admittedMs = nowMs;
      }
      yield message;
    }
  }

  /** What the API server cannot answer now is no refusal: an open page shows the outage. */
  async function isStillAdmitted(request: Request): Promise<boolean> {
    try {
      await admit(request);
      return true;
    } catch (error) {
      return error instanceof ServerError && error.code === "ATTACHE_SERVER_BUSY";
    }
  }

  const routes = new Map<string, Route>([
    ...pageRoutes(assets),
    [
      "/api/events",
      async (request) => {
        if (readers >= maxReaders)
          throw new ServerError("ATTACHE_SERVER_BUSY", `${maxReaders} pages are open`);
        readers += 1;
        request.closed.addEventListener("abort", () => (readers -= 1), { once: true });
        // The newest message may be one from before the last page was closed.
        await look();
        const type = "text/event-stream; charset=utf-8";
        return { status: 200, type, pieces: whileAdmitted(request), signal: ended.signal };
      },
    ],
    [
      "/api/identities",
      async (request) => {
        await look();
        const pieces = snapshots.changes(request.url.searchParams.get("since") ?? undefined);
        return zipped(request, { status: 200, type: json, pieces, signal: ended.signal });
      },
    ],
    [
      "/api/identity",
      async ({ url }) => {
        await look();
        const entry = snapshots.find(url.searchParams.get("name") ?? "");
        if (entry === undefined) {
          const remedy = "Look for it in the list: it may be deleted, or another replica leads.";
          throw new ServerError("ATTACHE_SERVER_NOT_FOUND", "there is no such identity", { remedy });
        }
        const { identity } = entry.identity;
        const detail = detailOf(rowOf(entry), entry.identity, {
          ...{ commands, exposures: source.exposures, loaded: source.loadedOf(identity) },
          rotations: history.rotationsOf(keyOf(identity)),
        });
        return { status: 200, type: json, pieces: [JSON.stringify(detail)] };
      },
    ],
  ]);
  const served = stack.use(
    await serveRoutes(listen, routes, {
      ...{ clock, logger, headers: pageHeaders },
      admit: async (request) => {
        fromOwnPage(request);
        await admit(request);
      },
    }),
  );
  stack.defer(() => ended.abort(new Error("the console has ended")));
  const owned = stack.move();
  return { ...served, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function placeText({ pod, settings }: Place): string {
  return pod === undefined ? (settings ?? "") : `${pod.namespace}/${pod.name}`;
}
