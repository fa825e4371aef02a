import { Agent, request } from "undici";

/** What has come of the requests so far. */
export interface Load extends AsyncDisposable {
  readonly sent: number;
  /** What was answered otherwise than with 2xx, or not at all. */
  readonly failures: readonly Failure[];
}

export interface Failure {
  /** In milliseconds of `performance.now()`. */
  readonly at: number;
  /** The status and what Envoy said, or the error's code. */
  readonly what: string;
}

const everyMs = 20;

/** What a longer pause of this process has missed is not sent: a burst is no load that an ingress is to bear. */
const catchUpMs = 1_000;

/**
 * Sends 50 requests a second, whatever becomes of those before, to each of the URLs in turn. Disposal waits
 * for those under way.
 */
export function startLoad(urls: () => readonly string[]): Load {
  const dispatcher = new Agent({ headersTimeout: 90_000, bodyTimeout: 90_000 });
  const failures: Failure[] = [];
  const underWay = new Set<Promise<void>>();
  let dueAt = performance.now();
  let sent = 0;

  async function send(url: string): Promise<void> {
    const outcome = await request(url, { dispatcher }).then(
      async ({ statusCode, body }) => {
        const said = await body.text();
        return statusCode < 300 ? undefined : `${statusCode} ${said.slice(0, 200)}`;
      },
      (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : String(error)),
    );
    if (outcome !== undefined) failures.push({ at: performance.now(), what: outcome });
  }

  const timer = setInterval(() => {
    const now = performance.now();
    for (dueAt = Math.max(dueAt, now - catchUpMs); dueAt < now; dueAt += everyMs) {
      const all = urls();
      const sending = send(all[sent % all.length] ?? "").finally(() => underWay.delete(sending));
      underWay.add(sending);
      sent += 1;
    }
  }, everyMs);

  return {
    failures,
    get sent() {
      return sent;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await Promise.all(underWay);
      await dispatcher.destroy();
    },
  };
}
