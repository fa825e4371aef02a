import type { IdentityChanges, IdentityDetail, IdentityRow, Overview } from "../page-data.ts";
import { levels } from "../page-data.ts";

/** What the page knows; replaced as a whole, so that views compare by reference. */
export interface Known {
  readonly overview: Overview | undefined;
  /** The worst first, then by name. */
  readonly rows: readonly IdentityRow[];
  /** Whether messages arrive. `token`: the server wants one first. */
  readonly link: "connecting" | "live" | "lost" | "token";
  /** Why the link is lost. */
  readonly problem: string | undefined;
  /** What the clock of the process is ahead of that of the browser, in milliseconds. */
  readonly aheadMs: number;
}

/** Without a message for so long, the connection is made again: the process sends one every five seconds. */
const silentMs = 15_000;
const retryMs = 2_000;

/** Follows the feed for as long as the page is open, and keeps the identities in step with it. */
export class Live {
  known: Known = { overview: undefined, rows: [], link: "connecting", problem: undefined, aheadMs: 0 };
  #rows = new Map<string, IdentityRow>();
  #version = "";
  #isReading = false;
  #token = "";
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
    void this.#follow();
  }

  /** Kept in the memory of the page alone. */
  signIn(token: string): void {
    this.#token = token;
    this.#set({ link: "connecting", problem: undefined });
    void this.#follow();
  }

  async identity(key: string): Promise<IdentityDetail> {
    const answer = await this.#get(`api/identity?name=${encodeURIComponent(key)}`);
    return (await answer.json()) as IdentityDetail;
  }

  async #follow(): Promise<void> {
    while (this.known.link !== "token") {
      const silence = new AbortController();
      let timer = setTimeout(() => silence.abort(), silentMs);
      try {
        const { body } = await this.#get("api/events", silence.signal);
        for await (const message of messagesIn(body)) {
          clearTimeout(timer);
          timer = setTimeout(() => silence.abort(), silentMs);
          this.#take(JSON.parse(message) as Overview);
        }
        // The server has ended it in order, and wants the token again.
        continue;
      } catch (error) {
        const problem = silence.signal.aborted ? "The server is silent." : messageOf(error);
        this.#set({ link: error instanceof Unauthorized ? "token" : "lost", problem });
      } finally {
        clearTimeout(timer);
      }
      await new Promise((resolve) => setTimeout(resolve, retryMs));
    }
  }

  #take(overview: Overview): void {
    const aheadMs = Date.parse(overview.now) - Date.now();
    this.#set({ overview, link: "live", problem: undefined, aheadMs });
    void this.#read();
  }

  /** One request at a time, for what has changed since the last. */
  async #read(): Promise<void> {
    if (this.#isReading || this.known.overview?.version === this.#version) return;
    this.#isReading = true;
    try {
      const answer = await this.#get(`api/identities?since=${this.#version}`);
      const { version, isComplete, removed, rows } = (await answer.json()) as IdentityChanges;
      if (isComplete) this.#rows = new Map();
      for (const key of removed) this.#rows.delete(key);
      for (const row of rows) this.#rows.set(row.key, row);
      this.#version = version;
      this.#set({ rows: [...this.#rows.values()].sort(byLevelAndName) });
    } catch (error) {
      this.#set({ problem: messageOf(error) });
    } finally {
      this.#isReading = false;
    }
  }

  async #get(path: string, signal?: AbortSignal): Promise<Response> {
    const headers: Record<string, string> =
      this.#token === "" ? {} : { Authorization: `Bearer ${this.#token}` };
    const answer = await fetch(path, { headers, cache: "no-store", ...(signal && { signal }) });
    if (answer.ok) return answer;
    const { error } = (await answer.json()) as {
      readonly error: { readonly message: string; readonly remedy: string };
    };
    const message = `${error.message}. ${error.remedy}`;
    throw answer.status === 401 || (answer.status === 403 && this.#token !== "")
      ? new Unauthorized(message)
      : new Error(message);
  }

  #set(changes: Partial<Known>): void {
    this.known = { ...this.known, ...changes };
    this.#changed();
  }
}

class Unauthorized extends Error {}

function messageOf(error: unknown): string {
  if (error instanceof TypeError) return "The server cannot be reached.";
  return error instanceof Error ? error.message : String(error);
}

/** The `data` of server-sent events. */
async function* messagesIn(body: ReadableStream<Uint8Array<ArrayBuffer>> | null): AsyncGenerator<string> {
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader?.read(); part?.done === false; part = await reader?.read()) {
    text += part.value;
    const messages = text.split("\n\n");
    text = messages.pop() ?? "";
    // Of several only the newest counts.
    const newest = messages.at(-1);
    if (newest?.startsWith("data: ")) yield newest.slice("data: ".length);
  }
}

const badness = (row: IdentityRow) => levels.indexOf(row.level);

function byLevelAndName(one: IdentityRow, other: IdentityRow): number {
  return badness(other) - badness(one) || (one.key < other.key ? -1 : 1);
}
