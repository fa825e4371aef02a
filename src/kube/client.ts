import { type Dispatcher, request as send } from "undici";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { KubeVerb } from "../telemetry/counters.ts";
import type { Access, Authentication } from "./access.ts";
import { ApiError, malformed } from "./api-error.ts";
import { Connections } from "./connections.ts";
import { withTimeout } from "../runtime/timeout.ts";
import { Semaphore } from "../runtime/semaphore.ts";
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

/** Of one answer: a page of a list, which becomes smaller where it is longer, or one Secret of the largest. */
const maxBytes = 16 * 1024 * 1024;

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
  readonly #connections: Connections;
  /** Apart: a watch holds its connection for minutes. */
  readonly #watchConnections: Connections;

  constructor(access: Access, options: KubeClientOptions) {
    const { server, namespace, proxyUrl } = access;
    const { clock = systemClock, maxInFlight = 32 } = options;
    this.server = server;
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
    const answer = await this.#answer(request, within.signal);
    try {
      return JSON.parse(await textOf(answer)) as T;
    } catch (error) {
      within.signal.throwIfAborted();
      if (error instanceof SyntaxError)
        throw malformed(`${this.server} answers ${request.path} with no JSON`, error);
      throw transportError(error, this.server);
    }
  }

  async text(request: Parameters<TextClient["text"]>[0]): Promise<TextAnswer> {
    const asked = { ...request, method: "GET" as const };
    using _turn = await this.#inFlight.acquire(request.signal);
    using within = this.#deadline(asked, request.signal);
    const { tls, headers } = await this.#access.authenticate();
    try {
      const answer = await send(`${this.server}${asked.path}${textOfQuery(asked.query)}`, {
        dispatcher: this.#connections.with(tls),
        method: "GET",
        signal: within.signal,
        headers: { ...headers, "user-agent": this.#options.userAgent },
      });
      const { statusCode: status } = answer;
      const text = await textOf(answer);
      if (status >= 300 && isStatus(text)) throw answerError(asked, { status, text }, secretsIn(headers));
      return { status, text, aheadMs: this.#aheadMsOf(answer) };
    } catch (error) {
      within.signal.throwIfAborted();
      throw transportError(error, this.server);
    }
  }

  async *watch<T>(request: WatchRequest, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    const asked = { ...request, method: "GET" as const, isWatch: true };
    using within = this.#deadline(asked, signal);
    const answer = await this.#answer({ ...asked, query: { ...request.query, watch: true } }, within.signal);
    within.clear();
    request.began?.();
    try {
      yield* watchEvents<T>(answer.body, asked, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw transportError(error, this.server);
    } finally {
      answer.body.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#connections, this.#watchConnections].map((one) => one[Symbol.asyncDispose]()));
  }

  #deadline({ method, path }: ApiRequest, signal: AbortSignal | undefined) {
    const { timeoutMs = 30_000 } = this.#options;
    const problem = `${this.server} did not answer ${method} ${path} in ${timeoutMs / 1000} s`;
    return withTimeout(
      timeoutMs,
      () => new ApiError("ATTACHE_KUBERNETES_TIMEOUT", problem),
      this.#clock,
      signal,
    );
  }

  /** How far the clock of the answering server is ahead of this machine. */
  #aheadMsOf({ headers }: Dispatcher.ResponseData): number | undefined {
    const date = Date.parse(String(headers["date"]));
    return Number.isNaN(date) ? undefined : date - this.#clock.now().getTime();
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
        if (answer.statusCode !== 401 || tries > 1) throw await refusal(request, answer, headers);
        await answer.body.dump();
      } catch (error) {
        signal.throwIfAborted();
        if (request.method === "GET" && tries === 1 && isBroken(error)) continue;
        throw transportError(error, this.server);
      }
    }
  }

  async #send(
    request: Sent,
    dispatcher: Dispatcher,
    authentication: Headers,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const { method, path, query, body, contentType = "json" } = request;
    let status: number | undefined;
    try {
      const answer = await send(`${this.server}${path}${textOfQuery(query)}`, {
        dispatcher,
        method,
        signal,
        headers: {
          ...authentication,
          "user-agent": this.#options.userAgent,
          accept: acceptOf(request),
          ...(body !== undefined && { "content-type": contentTypes[contentType] }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      status = answer.statusCode;
      this.aheadMs = this.#aheadMsOf(answer) ?? this.aheadMs;
      return answer;
    } finally {
      this.#options.requested?.(contentType === "apply" ? "apply" : verbOf(request), status, request.path);
    }
  }
}

type Sent = ApiRequest & { readonly isWatch?: boolean };

type Headers = Authentication["headers"];

async function refusal(request: Sent, answer: Dispatcher.ResponseData, headers: Headers): Promise<ApiError> {
  const { "retry-after": after } = answer.headers;
  const retryAfter = typeof after === "string" ? after : undefined;
  const text = await textOf(answer);
  return answerError(request, { status: answer.statusCode, text, retryAfter }, secretsIn(headers));
}

/** What must not come back in an error. */
function secretsIn({ authorization }: Headers): string[] {
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
