import { subscribe } from "node:diagnostics_channel";
import { setTimeout } from "node:timers/promises";
import { namedBy } from "../../../src/kube/resources.ts";

/** One request that was answered in full. */
export interface Answered {
  /** `PATCH meshcertificates/status` */
  readonly what: string;
  /** With the query. */
  readonly path: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly atMs: number;
}

/**
 * What this process requests of the API server, as undici tells it: whatever client sends it. Watches and
 * leases are left out.
 */
export class Traffic {
  readonly answered: Answered[] = [];
  #lastMs = performance.now();

  constructor() {
    subscribe("undici:request:trailers", (message) => {
      const { method, path } = (message as { request: { method: string; path: string } }).request;
      const named = namedBy(path.split("?")[0] ?? "");
      if (named === undefined || named.resource === "leases" || path.includes("watch=true")) return;
      const { resource, namespace, name } = named;
      this.#lastMs = performance.now();
      this.answered.push({ what: `${method} ${resource}`, path, namespace, name, atMs: this.#lastMs });
    });
  }

  count(what: string): number {
    return this.answered.filter((one) => one.what === what).length;
  }

  /** But for Events, which are for people to read. */
  get writes(): number {
    return this.answered.filter(({ what }) => !what.startsWith("GET ") && !what.endsWith(" events")).length;
  }

  /** Resolves once nothing was answered for so many milliseconds. */
  async quiet(ms: number): Promise<void> {
    while (performance.now() - this.#lastMs < ms) await setTimeout(100);
  }
}
