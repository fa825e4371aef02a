import { type Dispatcher, request as send } from "undici";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { Access } from "./access.ts";
import { ApiError } from "./api-error.ts";
import { Connections } from "./connections.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { linesOf } from "./lines.ts";
import { namedBy } from "./resources.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import { answerError, parseStatus, statusError } from "./status-error.ts";
import { isBroken, transportError } from "./transport-error.ts";

/** A client of one API server: connections that are kept, bounds in number, size and time, and errors that say what to do. */
export interface KubeClient extends AsyncDisposable {
  /** `https://…` */
  readonly server: string;
  /** Of the pod, or of the kubeconfig's context. */
  readonly namespace: string;
  /** How far the API server's clock was ahead of ours at its last answer, in milliseconds, to the second; `undefined` before one. */
  readonly aheadMs: number | undefined;
  /**
   * One request, and the answer's JSON: that it is a T is the API server's word. Sent again at once where that is harmless: with new
   * credentials after 401, and a GET whose kept connection turned out to be closed. All else is the caller's, who finds
   * in the error how long to wait.
   * @throws ApiError for anything but a whole answer of status 2xx; the signal's reason on its abort.
   */
  request<T>(request: ApiRequest): Promise<T>;
  /**
   * One HTTP watch, until the API server ends it, which it does in any case after some minutes.
   * @throws ApiError also when the watch itself says so: `ATTACHE_KUBERNETES_EXPIRED` where it cannot go on from; the
   *   signal's reason on its abort.
   */
  watch<T>(request: WatchRequest, signal: AbortSignal): AsyncIterable<WatchEvent<T>>;
}

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** See `pathOf()`. */
  readonly path: string;
  readonly query?: Query;
  readonly body?: object;
  /** What `body` is: an object (the default), a server-side apply, a merge patch. */
  readonly contentType?: ContentType;
  readonly accept?: Accept;
  readonly signal?: AbortSignal;
}

export interface WatchRequest {
  /** Of a collection. */
  readonly path: string;
  readonly query?: Query;
  readonly accept?: Accept;
  /** The API server has taken it; the first line may be a minute away. */
  readonly began?: () => void;
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;
export type ContentType = "json" | "apply" | "merge";

/** `metadata`: nothing else of the objects is sent, so that no Secret's data comes into memory. */
export type Accept = "object" | "metadata";

/** As it stands in a line of a watch. A bookmark's object has a resourceVersion and annotations, and nothing else. */
export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

export interface KubeClientOptions {
  /** For the API server's audit log, `attache/1.2.3`. */
  readonly userAgent: string;
  readonly clock?: Clock;
  /** How many requests are in flight at most, watches not counted; 32 by default. */
  readonly maxInFlight?: number;
  /** For one whole request, without its wait for its turn; 30 s by default. Of a watch, until it begins. */
  readonly timeoutMs?: number;
}

const contentTypes: Readonly<Record<ContentType, string>> = {
  json: "application/json",
  apply: "application/apply-patch+yaml",
  merge: "application/merge-patch+json",
};

const metadataOnly = (kind: string) => `application/json;as=${kind};g=meta.k8s.io;v=v1`;

/** Of one answer: five hundred objects of a list, or one Secret of the largest. */
const maxBytes = 64 * 1024 * 1024;

export function openKubeClient(access: Access, options: KubeClientOptions): KubeClient {
  return new HttpApi(access, options);
}

class HttpApi implements KubeClient {
  readonly server: string;
  readonly namespace: string;
  aheadMs: number | undefined;
  readonly #access: Access;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #timeoutMs: number;
  readonly #slots: Semaphore;
  readonly #connections: Connections;
  /** Apart: a watch holds its connection for minutes. */
  readonly #watchConnections: Connections;

  constructor(
    access: Access,
    { userAgent, clock = systemClock, maxInFlight = 32, timeoutMs = 30_000 }: KubeClientOptions,
  ) {
    this.server = access.server;
    this.namespace = access.namespace;
    this.#access = access;
    this.#clock = clock;
    this.#userAgent = userAgent;
    this.#timeoutMs = timeoutMs;
    this.#slots = new Semaphore(maxInFlight);
    const { server, proxyUrl } = access;
    this.#connections = new Connections({ server, proxyUrl, max: maxInFlight });
    this.#watchConnections = new Connections({ server, proxyUrl });
  }

  async request<T>(request: ApiRequest): Promise<T> {
    using _slot = await this.#slots.acquire(request.signal);
    using within = this.#deadline(request, request.signal);
    const answer = await this.#answer(request, within.signal);
    try {
      return JSON.parse(await textOf(answer)) as T;
    } catch (error) {
      within.signal.throwIfAborted();
      if (error instanceof SyntaxError)
        throw malformed(`${this.server} answers ${request.path} with no JSON`, error);
      throw transportError(error, this.#access);
    }
  }

  async *watch<T>(request: WatchRequest, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    const asked = { ...request, method: "GET" as const, isWatch: true };
    using within = this.#deadline(asked, signal);
    const answer = await this.#answer({ ...asked, query: { ...request.query, watch: true } }, within.signal);
    within.clear();
    request.began?.();
    try {
      for await (const line of linesOf(answer.body)) {
        const { type, object } = parseEvent(line);
        if (type === "ERROR") throw this.#watchError(asked, object);
        yield { type, object: object as T };
      }
    } catch (error) {
      signal.throwIfAborted();
      throw transportError(error, this.#access);
    } finally {
      answer.body.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [this.#connections, this.#watchConnections].map((connections) => connections[Symbol.asyncDispose]()),
    );
  }

  #deadline({ method, path }: ApiRequest, signal: AbortSignal | undefined) {
    const seconds = this.#timeoutMs / 1000;
    const late = () =>
      new ApiError(
        "ATTACHE_KUBERNETES_TIMEOUT",
        `${this.server} did not answer ${method} ${path} in ${seconds} s`,
      );
    return withTimeout(this.#timeoutMs, late, this.#clock, signal);
  }

  /** The head of an answer of status 2xx, whose body has not been read. */
  async #answer(request: Sent, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    for (let tries = 1; ; tries += 1) {
      const { tls, headers } = await this.#access.authenticate();
      const connections = request.isWatch === true ? this.#watchConnections : this.#connections;
      try {
        const answer = await this.#send(request, connections.with(tls), headers, signal);
        if (answer.statusCode < 300) return answer;
        if (answer.statusCode === 401) this.#access.refused();
        if (answer.statusCode !== 401 || tries > 1) throw await this.#refusal(request, answer, headers);
        await answer.body.dump();
      } catch (error) {
        signal.throwIfAborted();
        if (request.method === "GET" && tries === 1 && isBroken(error)) continue;
        throw transportError(error, this.#access);
      }
    }
  }

  async #send(
    request: Sent,
    dispatcher: Dispatcher,
    headers: Readonly<Record<string, string | string[]>>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const { method, path, query, body, contentType = "json" } = request;
    const answer = await send(`${this.server}${path}${textOfQuery(query)}`, {
      dispatcher,
      method,
      signal,
      headers: {
        ...headers,
        "user-agent": this.#userAgent,
        accept: acceptOf(request),
        ...(body !== undefined && { "content-type": contentTypes[contentType] }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const date = Date.parse(String(answer.headers["date"]));
    if (!Number.isNaN(date)) this.aheadMs = date - this.#clock.now().getTime();
    return answer;
  }

  async #refusal(
    request: Sent,
    answer: Dispatcher.ResponseData,
    headers: Readonly<Record<string, string | string[]>>,
  ): Promise<ApiError> {
    const { "retry-after": retryAfter } = answer.headers;
    return answerError(
      request,
      {
        status: answer.statusCode,
        text: await textOf(answer),
        retryAfter: typeof retryAfter === "string" ? retryAfter : undefined,
      },
      secretsOf(headers),
    );
  }

  #watchError(asked: Sent, object: unknown): ApiError {
    const status = parseStatus(object);
    return status === undefined
      ? malformed(`${this.server} ends the watch of ${asked.path} with an error that is no Status`)
      : statusError(asked, status, []);
  }
}

type Sent = ApiRequest & { readonly isWatch?: boolean };

function acceptOf({ method, path, accept, isWatch }: Sent): string {
  if (accept !== "metadata") return "application/json";
  const isList = method === "GET" && isWatch !== true && namedBy(path)?.name === undefined;
  return metadataOnly(isList ? "PartialObjectMetadataList" : "PartialObjectMetadata");
}

function textOfQuery(query: Query = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? "" : `?${given.toString()}`;
}

async function textOf({ body }: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) throw malformed(`an answer is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseEvent(line: string): { type: WatchEvent<unknown>["type"] | "ERROR"; object: unknown } {
  try {
    const event: unknown = JSON.parse(line);
    if (isEvent(event)) return event;
  } catch (cause) {
    throw malformed("a line of a watch is no JSON", cause);
  }
  throw malformed("a line of a watch is no event");
}

const types: ReadonlySet<unknown> = new Set(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]);

function isEvent(value: unknown): value is ReturnType<typeof parseEvent> {
  return (
    typeof value === "object" &&
    value !== null &&
    "type" in value &&
    types.has(value.type) &&
    "object" in value
  );
}

function secretsOf(headers: Readonly<Record<string, string | string[]>>): string[] {
  const { authorization } = headers;
  return typeof authorization === "string" ? [authorization.replace(/^\S+ /, "")] : [];
}

function malformed(problem: string, cause?: unknown): ApiError {
  return new ApiError("ATTACHE_KUBERNETES_MALFORMED", problem, { cause });
}
