import type { Dispatcher } from "undici";
import { malformed } from "./api-error.ts";

/** What is sent over a dispatcher. */
export type Outgoing = Pick<Dispatcher.DispatchOptions, "origin" | "path" | "method" | "headers" | "body">;

/** One answer, whole. */
export interface Reply {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData["headers"];
  readonly text: string;
}

/** Of one answer: a page of a list, which becomes smaller where it is longer, or one Secret of the largest. */
const maxBytes = 16 * 1024 * 1024;

/**
 * One request and its answer, read to its end without a stream: a stream for each answer costs more than all
 * else that a request does here.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  /** `undefined` before the head of the answer. */
  status: number | undefined;
  readonly answer: Promise<Reply>;
  #headers: Reply["headers"] = {};
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #controller: Dispatcher.DispatchController | undefined;
  readonly #signal: AbortSignal;
  readonly #resolve: (answer: Reply) => void;
  readonly #reject: (error: unknown) => void;

  /** Sends it. The answer rejects with the signal's reason if that aborts before its end. */
  constructor(dispatcher: Dispatcher, outgoing: Outgoing, signal: AbortSignal) {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.answer = promise;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    signal.addEventListener("abort", this);
    dispatcher.dispatch(outgoing, this);
  }

  /** The signal has aborted; also while the request waits for a connection. */
  handleEvent(): void {
    this.#controller?.abort(this.#signal.reason as Error);
    this.#fail(this.#signal.reason);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) controller.abort(this.#signal.reason as Error);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Reply["headers"]): void {
    if (status < 200) return;
    this.status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#length += chunk.length;
    if (this.#length > maxBytes) controller.abort(malformed(`an answer is longer than ${maxBytes} bytes`));
    else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    this.#signal.removeEventListener("abort", this);
    const [first, ...others] = this.#chunks;
    const body = first !== undefined && others.length === 0 ? first : Buffer.concat(this.#chunks);
    this.#resolve({ status: this.status ?? 0, headers: this.#headers, text: body.toString() });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#fail(error);
  }

  #fail(error: unknown): void {
    this.#signal.removeEventListener("abort", this);
    this.#reject(error);
  }
}
