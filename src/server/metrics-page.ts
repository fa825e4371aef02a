import type { Clock } from "../runtime/clock.ts";

interface Page {
  readonly pieces: readonly Uint8Array[];
  /** Aborts when two newer pages exist: a slow reader must not keep a third one in memory. */
  readonly signal: AbortSignal;
}

interface SharedPageOptions {
  readonly clock: Clock;
  /** The end of the server. */
  readonly ended: AbortSignal;
}

/** How long a page is served again. */
const freshMs = 1_000;

/** Shares one page between all requests that arrive while it is rendered, and for a second afterwards. */
export function sharedPage(
  render: () => Promise<readonly Uint8Array[]>,
  { clock, ended }: SharedPageOptions,
): () => Promise<Page> {
  let current: Promise<Page> | undefined;
  let readers = [new AbortController(), new AbortController()] as const;

  async function next(): Promise<Page> {
    readers[0].abort(new Error("two newer pages have replaced this one"));
    readers = [readers[1], new AbortController()];
    const { signal } = readers[1];
    try {
      return { pieces: await render(), signal };
    } finally {
      // Not kept until the next request: a page can take megabytes.
      clock.sleep(freshMs, ended).then(
        () => (current = undefined),
        () => undefined,
      );
    }
  }
  return () => (current ??= next());
}
