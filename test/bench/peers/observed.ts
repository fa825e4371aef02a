import { setTimeout } from "node:timers/promises";
import type { KubeClient } from "../../../src/kube/client.ts";

/** Which objects are watched, and for what. */
export interface Watched {
  /** Of the collection. */
  readonly path: string;
  readonly labelSelector: string;
  /** How their names end. */
  readonly suffix?: string;
  /** In their `data`. */
  readonly key: string;
}

interface WatchedObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly data?: Readonly<Record<string, string>>;
}

/** Only a failure takes so long. */
const deadlineMs = 900_000;

/** Sees as another client when objects get another content. */
export class Observed implements AsyncDisposable {
  readonly #over = new AbortController();
  readonly #watching: Promise<void>;
  readonly #now = new Map<string, string>();
  #before: ReadonlyMap<string, string> = new Map();
  #failure: unknown;

  constructor(client: KubeClient, watched: Watched) {
    this.#watching = this.#watch(client, watched).catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** What is there counts no more, until it changes. */
  mark(): void {
    this.#before = new Map(this.#now);
  }

  /** Resolves once `count` objects have come or changed. @throws Error if they do not */
  async changed(count: number): Promise<void> {
    const endsAt = performance.now() + deadlineMs;
    for (;;) {
      const changed = [...this.#now].filter(([name, value]) => this.#before.get(name) !== value).length;
      if (changed >= count) return;
      if (this.#failure !== undefined || performance.now() > endsAt) {
        throw new Error(`only ${changed} of ${count} have changed`, { cause: this.#failure });
      }
      await setTimeout(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#watching;
  }

  async #watch(client: KubeClient, { path, labelSelector, suffix = "", key }: Watched): Promise<void> {
    const events = client.watch<WatchedObject>({ path, query: { labelSelector } }, this.#over.signal);
    for await (const { type, object } of events) {
      const { name, namespace } = object.metadata;
      const value = object.data?.[key] ?? "";
      if (type !== "DELETED" && name.endsWith(suffix) && value !== "")
        this.#now.set(`${namespace}/${name}`, value);
    }
    throw new Error(`the API server has ended the watch of ${path}`);
  }
}
