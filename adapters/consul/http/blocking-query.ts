import type { Clock } from "../../../src/mesh/adapter.ts";
import { polling } from "../../../src/mesh/kit/retry.ts";
import type { ConsulClient } from "./client.ts";
import type { Pace } from "./pace.ts";

export interface BlockingQuery {
  readonly client: Pick<ConsulClient, "get">;
  readonly path: string;
  /** What stands in each request beside the index. */
  readonly query?: Readonly<Record<string, string>>;
  /** How long the server may hold a query back while nothing changes. */
  readonly waitMs: number;
  readonly pace: Pace;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** For an answer that is not held back. */
const answerMs = 30_000;

/**
 * Asks again and again, and yields the body of each answer; the same one may come twice.
 *
 * The rules are those of https://developer.hashicorp.com/consul/api-docs/features/blocking. Without an index
 * the agent may give an expired leaf (consul#9862, consul#10871), so that all but the first query block. Ends
 * only by throwing: what {@link ConsulClient.get} throws.
 */
export function blockingQuery(query: BlockingQuery): AsyncGenerator<string, never, undefined> {
  const { client, path, waitMs, pace, clock, signal } = query;
  let index = 0n;
  let askedAtMs: number;
  return polling(
    async () => {
      askedAtMs = clock.elapsedMs();
      const isHeld = index > 0n;
      const { headers, text } = await client.get(path, {
        query: { ...query.query, ...(isHeld && { index: String(index), wait: `${waitMs}ms` }) },
        // The server adds up to a sixteenth, so that those who asked together do not come back together.
        timeoutMs: answerMs + (isHeld ? waitMs * (17 / 16) : 0),
        signal,
      });
      index = nextIndex(index, headers["x-consul-index"]);
      return text;
    },
    () => pace.keep(askedAtMs, signal),
  );
}

/** The largest that Consul can read; a larger one it refuses with 400. */
const maxIndex = 2n ** 64n - 1n;

/**
 * What to ask for after an answer with this header. An index that goes down (a restored snapshot, another
 * server) begins again at 0, because one that is too high stalls; one that is absent, 0 or garbage counts as
 * 1, which blocks wherever blocking is possible.
 */
export function nextIndex(asked: bigint, header: string | string[] | undefined): bigint {
  const received = typeof header === "string" && /^\d{1,20}$/.test(header) ? BigInt(header) : 0n;
  if (received === 0n || received > maxIndex) return 1n;
  return received < asked ? 0n : received;
}
