import type { Worker } from "node:worker_threads";
import { Semaphore } from "../../runtime/semaphore.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { StoreError } from "../store.ts";
import { refusalOf } from "./file-errors.ts";
import type { HeldRoot } from "./folder-calls.ts";
import type { Numbered } from "./folder-thread.ts";
import type { Layout } from "./layout.ts";
import type { FolderAnswer, FileChange, Expectation, Failure, FolderRequest } from "./transaction.ts";

/** Does what is asked in the held folder, one request after the other. */
export interface FolderThread extends AsyncDisposable {
  ask(request: FolderRequest): Promise<FolderAnswer>;
}

export interface DiskPorts {
  readonly thread: FolderThread;
  readonly layout: Layout;
  readonly logger: Logger;
}

/** How far a transaction came. */
export interface Committed {
  /** Of each change that is done and on the disk, in order: tells later whether anything has touched it. */
  readonly stamps: readonly (string | undefined)[];
  /** Why the rest is not done: a StoreError, or {@link Changed}. */
  readonly error?: Error;
}

/** Another process was faster. */
export class Changed extends Error {}

/** A request holds private keys, so the thread gets few at a time; the others wait here. */
const maxRequests = 4;

/** How many paths are looked at in one go, which holds up changes for a few milliseconds. */
const looksAtOnce = 1_000;

/** What a store does in its folder besides reading: one request to its thread for each transaction. */
export class Disk {
  readonly #ports: DiskPorts;
  readonly #turns = new Semaphore(maxRequests);
  #transactions = 0;

  constructor(ports: DiskPorts) {
    this.#ports = ports;
  }

  /** Differs from an earlier one if what is at a path was touched since; nothing if nothing is there. @throws StoreError */
  async stamps(paths: readonly string[]): Promise<(string | undefined)[]> {
    const found: (string | undefined)[] = [];
    const starts = Array.from(
      { length: Math.ceil(paths.length / looksAtOnce) },
      (_, index) => index * looksAtOnce,
    );
    for (const start of starts) {
      const some = paths.slice(start, start + looksAtOnce);
      const { stamps, failure } = await this.#ask({ kind: "stamps", paths: some });
      if (failure !== undefined) throw this.#errorOf(failure, "read");
      found.push(...stamps);
    }
    return found;
  }

  /** Makes all changes in their order, if each expectation holds; else none. */
  async commit(changes: readonly FileChange[], expected: readonly Expectation[] = []): Promise<Committed> {
    const { layout, logger } = this.#ports;
    this.#transactions += 1;
    const { stamps, closed, failure } = await this.#ask({
      kind: "transaction",
      id: this.#transactions,
      root: layout.root,
      temporary: layout.temporary,
      expected,
      changes,
    });
    for (const { folder, mode } of closed) {
      logger.log("FolderClosed", { folder, mode: mode.toString(8) });
    }
    return { stamps, ...(failure && { error: this.#errorOf(failure, "write") }) };
  }

  /** As {@link commit}. @throws the error */
  async change(change: FileChange, ...expected: readonly Expectation[]): Promise<void> {
    const { error } = await this.commit([change], expected);
    if (error !== undefined) throw error;
  }

  #ask(request: FolderRequest): Promise<FolderAnswer> {
    return this.#turns.run(() => this.#ports.thread.ask(request));
  }

  #errorOf({ reason, path, code, message = "" }: Failure, verb: "read" | "write"): Error {
    switch (reason) {
      case "changed":
        return new Changed();
      case "moved":
        return moved(this.#ports.layout.root);
      case "obstacle":
        return new StoreError("ATTACHE_STORE_UNWRITABLE", `${path} is not a folder`, {
          remedy: "Move it away: attaché makes a folder there, and follows no link.",
        });
      case "system":
        if (code === undefined) return new Error(message);
        return refusalOf(verb, path, Object.assign(new Error(message), { code }));
    }
  }
}

function moved(folder: string): StoreError {
  const problem = `${folder} is not the folder that attaché opened when it started: it was moved, replaced or emptied`;
  const remedy = "Bring it back; or restart attaché, which then checks and uses the one that is there.";
  return new StoreError("ATTACHE_STORE_UNWRITABLE", problem, { remedy });
}

/** A thread of its own, that begins with the first request. One that has ended is begun again. */
export function folderThread(root: HeldRoot): FolderThread {
  const waiting = new Map<number, PromiseWithResolvers<FolderAnswer>>();
  let started: Promise<Worker> | undefined;
  let requests = 0;

  async function start(): Promise<Worker> {
    const { startThread } = await import("./folder-thread.ts");
    // Without what cannot be sent to a thread.
    const { path, via, seen } = root;
    const worker = startThread({ path, via, seen });
    worker.on("message", ({ number, content }: Numbered<FolderAnswer>) => {
      waiting.get(number)?.resolve(content);
      waiting.delete(number);
    });
    let cause: unknown;
    worker.once("error", (error: unknown) => (cause = error));
    worker.once("exit", () => {
      started = undefined;
      for (const { reject } of waiting.values())
        reject(new Error("the folder's thread has ended", { cause }));
      waiting.clear();
    });
    return worker;
  }

  return {
    async ask(content) {
      requests += 1;
      const request: Numbered<FolderRequest> = { number: requests, content };
      started ??= start().catch((error: unknown) => {
        started = undefined;
        throw error;
      });
      const worker = await started;
      const answer = Promise.withResolvers<FolderAnswer>();
      waiting.set(request.number, answer);
      worker.postMessage(request);
      return answer.promise;
    },
    async [Symbol.asyncDispose]() {
      await (await started)?.terminate();
    },
  };
}
