import type { Dispatcher } from "undici";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { KubeVerb } from "../telemetry/counters.ts";
import type { Access, Authentication } from "./access.ts";
import { ApiError, malformed } from "./api-error.ts";
import { Connections } from "./connections.ts";
import { type Reply, Exchange } from "./exchange.ts";
import { Semaphore } from "../runtime/semaphore.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { answerError, isBroken, isStatus, transportError, verbOf } from "./request-error.ts";
import { type WatchEvent, watchEvents } from "./watch-events.ts";

export type { WatchEvent } from "./watch-events.ts";

/**
 * A client of one API server: connections that are kept, bounds in number, size and time, and errors that say
 * what to do.
 */
export interface KubeClient extends AsyncDisposable {
  /** `https://…` */
  readonly server: string;
  /** Of the pod, or of the kubeconfig's context. */
  readonly namespace: string;
  /**
   * How far the API server's clock was ahead of this process at its last answer, in milliseconds, to the
   * second; `undefined` before one.
   */
  readonly aheadMs: number | undefined;
  /**
   * One request, and the answer's JSON: that it is a T is the API server's word. Sent again at once where
   * that is harmless: with new credentials after 401, and a GET whose kept connection turned out to be
   * closed. All else is the caller's, who finds in the error how long to wait.
   * @throws ApiError for anything but a whole answer of status 2xx; the signal's reason on its abort.
   */
  request<T>(request: ApiRequest): Promise<T>;
  /**
   * One HTTP watch, until the API server ends it, which it does in any case after some minutes.
   * @throws ApiError also when the watch itself says so: `ATTACHE_KUBERNETES_EXPIRED` where it cannot go on
   *   from; the signal's reason on its abort.
   */
  watch<T>(request: WatchRequest, signal: AbortSignal): AsyncIterable<WatchEvent<T>>;
}

/** Reads what is no JSON: the answers of a pod through the API server, and logs. */
export interface TextClient {
  /**
   * One GET. A status of the API server itself is an error, one of a pod is its answer.
   * @throws ApiError
   */
  text(request: Omit<ApiRequest, "method" | "body" | "contentType">): Promise<TextAnswer>;
}

export interface TextAnswer {
  readonly status: number;
  readonly text: string;
  /** How far the clock of the one that answered is ahead of this process, in milliseconds, to the second. */
  readonly aheadMs: number | undefined;
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
type ContentType = "json" | "apply" | "merge";

/** `metadata`: nothing else of the objects is sent, so that no Secret's data comes into memory. */
export type Accept = "object" | "metadata";

export interface KubeClientOptions {
  /** For the API server's audit log, `attache/1.2.3`. */
  readonly userAgent: string;
  readonly clock?: Clock;
  /** How many requests are in flight at most, watches not counted; 32 by default. */
  readonly maxInFlight?: number;
  /** For one whole request, without its wait for its turn; 30 s by default. Of a watch, until it begins. */
  readonly timeoutMs?: number;
  /** Called after each request, those of watches included; without a status there was no answer. */
  readonly requested?: (verb: KubeVerb, status: number | undefined, path: string) => void;
}

const contentTypes: Readonly<Record<ContentType, string>> = {
  json: "application/json",
  apply: "application/apply-patch+yaml",
  merge: "application/merge-patch+json",
};

/** Of the reason that a watch is refused for. */
const maxRefusalBytes = 1024 * 1024;

export function openKubeClient(access: Access, options: KubeClientOptions): KubeClient & TextClient {
  return new HttpClient(access, options);
}

class HttpClient implements KubeClient, TextClient {
  readonly server: string;
  readonly namespace: string;
  aheadMs: number | undefined;
  readonly #access: Access;
  readonly #options: KubeClientOptions;
  readonly #clock: Clock;
  readonly #inFlight: Semaphore;
  readonly #server: { readonly origin: string; readonly path: string };
  readonly #connections: Connections;
  /** Apart: a watch holds its connection for minutes. */
  readonly #watchConnections: Connections;

  constructor(access: Access, options: KubeClientOptions) {
    const { server, namespace, proxyUrl } = access;
    const { clock = systemClock, maxInFlight = 32 } = options;
    this.server = server;
    // A path stands before all others, as behind a proxy for many clusters.
    const { origin, pathname } = new URL(server);
    this.#server = { origin, path: pathname.replace(/\/$/, "") };
    this.namespace = namespace;
    this.#access = access;
    this.#options = options;
    this.#clock = clock;
    this.#inFlight = new Semaphore(maxInFlight);
    this.#connections = new Connections({ server, proxyUrl, max: maxInFlight });
    this.#watchConnections = new Connections({ server, proxyUrl });
  }

  async request<T>(request: ApiRequest): Promise<T> {
    using _turn = await this.#inFlight.acquire(request.signal);
    using within = this.#deadline(request, request.signal);
    const { text } = await this.#succeed(request, within.signal, (authentication) =>
      this.#exchange(request, this.#connections, authentication, within.signal),
    );
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw malformed(`${this.server} answers ${request.path} with no JSON`, error);
    }
  }

  async text(request: Parameters<TextClient["text"]>[0]): Promise<TextAnswer> {
    const asked = { ...request, method: "GET" as const };
    using _turn = await this.#inFlight.acquire(request.signal);
    using within = this.#deadline(asked, request.signal);
    const authentication = await this.#access.authenticate();
    try {
      const answer = await this.#exchange(asked, this.#connections, authentication, within.signal);
      const { status, headers, text } = answer;
      if (status >= 300 && isStatus(text)) throw answerError(asked, answer, secretsIn(authentication));
      return { status, text, aheadMs: this.#aheadMsOf(headers) };
    } catch (error) {
      within.signal.throwIfAborted();
      throw transportError(error, this.server);
    }
  }

  async *watch<T>(request: WatchRequest, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    const asked = {
      ...request,
      query: { ...request.query, watch: true },
      method: "GET" as const,
      isWatch: true,
    };
    using within = this.#deadline(asked, signal);
    const { body } = await this.#succeed(asked, within.signal, (authentication) =>
      this.#open(asked, authentication, within.signal),
    );
    within.clear();
    request.began?.();
    try {
      yield* watchEvents<T>(body, asked, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw transportError(error, this.server);
    } finally {
      body.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#connections, this.#watchConnections].map((one) => one[Symbol.asyncDispose]()));
  }

  #deadline({ method, path }: ApiRequest, signal: AbortSignal | undefined) {
    const { timeoutMs = 30_000 } = this.#options;
    const problem = `${this.server} did not answer ${method} ${path} in ${timeoutMs / 1000} s`;
    const late = () => new ApiError("ATTACHE_KUBERNETES_TIMEOUT", problem);
    return withTimeout(timeoutMs, late, this.#clock, signal);
  }

  /** How far the clock of the answering server is ahead of this machine. */
  #aheadMsOf(headers: Reply["headers"]): number | undefined {
    const date = Date.parse(String(headers["date"]));
    return Number.isNaN(date) ? undefined : date - this.#clock.now().getTime();
  }

  /** What `send` gives of status 2xx: sent once more where that is harmless. */
  async #succeed<R extends Omit<Reply, "text"> & { readonly text: string | (() => Promise<string>) }>(
    request: Sent,
    signal: AbortSignal,
    send: (authentication: Authentication) => Promise<R>,
  ): Promise<R> {
    for (let tries = 1; ; tries += 1) {
      const authentication = await this.#access.authenticate();
      try {
        const reply = await send(authentication);
        const { status, headers } = reply;
        this.aheadMs = this.#aheadMsOf(headers) ?? this.aheadMs;
        if (status < 300) return reply;
        if (status === 401) this.#access.refused();
        const text = typeof reply.text === "string" ? reply.text : await reply.text();
        if (status === 401 && tries === 1) continue;
        const retryAfter = String(headers["retry-after"]);
        throw answerError(request, { status, text, retryAfter }, secretsIn(authentication));
      } catch (error) {
        signal.throwIfAborted();
        if (request.method === "GET" && tries === 1 && isBroken(error)) continue;
        throw transportError(error, this.server);
      }
    }
  }

  async #exchange(
    request: Sent,
    connections: Connections,
    { tls, headers }: Authentication,
    signal: AbortSignal,
  ): Promise<Reply> {
    const exchange = new Exchange(connections.with(tls), this.#outgoing(request, headers), signal);
    try {
      return await exchange.answer;
    } finally {
      this.#requested(request, exchange.status);
    }
  }

  /** As a stream, which may take hours. */
  async #open(request: Sent, { tls, headers }: Authentication, signal: AbortSignal) {
    let status: number | undefined;
    try {
      const dispatcher = this.#watchConnections.with(tls);
      const answer = await dispatcher.request({ ...this.#outgoing(request, headers), signal });
      const { body } = answer;
      status = answer.statusCode;
      return { status, headers: answer.headers, body, text: () => textOf(body) };
    } finally {
      this.#requested(request, status);
    }
  }

  #outgoing(request: Sent, authentication: Headers) {
    const { method, path, query, body, contentType = "json" } = request;
    return {
      origin: this.#server.origin,
      path: this.#server.path + path + textOfQuery(query),
      method,
      headers: {
        ...authentication,
        "user-agent": this.#options.userAgent,
        accept: acceptOf(request),
        ...(body !== undefined && { "content-type": contentTypes[contentType] }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    };
  }

  #requested(request: Sent, status: number | undefined): void {
    const verb = request.contentType === "apply" ? "apply" : verbOf(request);
    this.#options.requested?.(verb, status, request.path);
  }
}

type Sent = ApiRequest & { readonly isWatch?: boolean };

type Headers = Authentication["headers"];

/** What must not come back in an error. */
function secretsIn({ headers: { authorization } }: Authentication): string[] {
  return typeof authorization === "string" ? [authorization.replace(/^\S+ /, "")] : [];
}

function acceptOf(request: Sent): string {
  if (request.accept !== "metadata") return "application/json";
  const kind = verbOf(request) === "list" ? "PartialObjectMetadataList" : "PartialObjectMetadata";
  return `application/json;as=${kind};g=meta.k8s.io;v=v1`;
}

function textOfQuery(query: Query = {}): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) given.set(name, String(value));
  return given.size === 0 ? "" : `?${given.toString()}`;
}

async function textOf(body: Dispatcher.ResponseData["body"]): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxRefusalBytes) throw malformed(`an answer is longer than ${maxRefusalBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
