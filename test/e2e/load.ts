import { Agent, request } from "undici";

/** What has come of the requests so far. */
export interface Load extends AsyncDisposable {
  readonly sent: number;
  /** Of what was answered otherwise than with 2xx, or not at all: how often, by the status or the error's code. */
  readonly failed: ReadonlyMap<string, number>;
}

const everyMs = 20;

/** Sends 50 requests a second, whatever becomes of those before, to each of the URLs in turn. Disposal waits for those under way. */
export function startLoad(urls: () => readonly string[]): Load {
  const dispatcher = new Agent({ headersTimeout: 10_000, bodyTimeout: 10_000 });
  const failed = new Map<string, number>();
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();
  let sent = 0;

  async function send(url: string): Promise<void> {
    const outcome = await request(url, { dispatcher }).then(
      async ({ statusCode, body }) => {
        await body.dump();
        return String(statusCode);
      },
      (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : String(error)),
    );
    if (!outcome.startsWith("2")) failed.set(outcome, (failed.get(outcome) ?? 0) + 1);
  }

  const timer = setInterval(() => {
    // A timer that was late makes up for it.
    while (sent * everyMs < performance.now() - startedAt) {
      const all = urls();
      const sending = send(all[sent % all.length] ?? "").finally(() => underWay.delete(sending));
      underWay.add(sending);
      sent += 1;
    }
  }, everyMs);

  return {
    failed,
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
