import Consul from "consul";
import { EventEmitter } from "node:events";
import { Agent as HttpAgent, IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { finished } from "node:stream/promises";
import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { unlessAborted } from "../../../src/mesh/unless-aborted.ts";
import { BoundedBody } from "./bounded-body.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { Endpoint } from "./endpoint.ts";
import { problemOf, type Reply } from "./reply.ts";
import { secureContext, type TlsSettings } from "../tls.ts";
import { readToken, type TokenSource } from "../token.ts";
import { transportError } from "./transport-errors.ts";

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string>>;
  /** For the whole answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The HTTP API of one agent, through the `consul` package, with bounds in size and time that it lacks. */
export class ConsulClient implements Disposable {
  readonly endpoint: Endpoint;
  readonly #token: TokenSource;
  readonly #datacenter: string | undefined;
  readonly #clock: Clock;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #tls: TlsSettings;
  readonly #papi: Papi;

  private constructor(settings: ConnectionSettings, agent: HttpAgent | HttpsAgent, clock: Clock) {
    this.endpoint = settings.endpoint;
    this.#token = settings.token;
    this.#datacenter = settings.datacenter;
    this.#clock = clock;
    this.#agent = agent;
    this.#tls = settings.tls;
    this.#papi = papiOf(settings.endpoint, agent);
  }

  /** @throws MeshError if files for TLS cannot be used. */
  static async open(settings: ConnectionSettings, clock: Clock): Promise<ConsulClient> {
    return new ConsulClient(settings, await agentOf(settings), clock);
  }

  /** @throws MeshError for anything but a whole answer of status 2xx; the signal's reason on its abort. */
  async get(path: string, options: RequestOptions): Promise<Reply> {
    const reply = await this.ask(path, options);
    if (reply.problem !== undefined) throw reply.problem;
    return reply;
  }

  /** As {@link get}, but hands out answers of all statuses. */
  async ask(path: string, { query, timeoutMs, signal }: RequestOptions): Promise<Reply> {
    const token = await unlessAborted(readToken(this.#token), signal);
    const over = new AbortController();
    const context = new EventEmitter();
    const body = new BoundedBody();
    const late = this.#clock.sleep(timeoutMs, over.signal).then(() => {
      throw new MeshError(
        "ATTACHE_MESH_TIMEOUT",
        `${this.endpoint.url} did not answer in ${timeoutMs / 1000} s`,
      );
    });
    const answered = this.#papi._get(
      {
        path,
        query: { ...query, ...(this.#datacenter !== undefined && { dc: this.#datacenter }) },
        headers: token === undefined ? {} : { "x-consul-token": token },
        ctx: context,
        pipe: body,
      },
      ({ res, err }, next) => next(false, res ?? err),
    );
    try {
      const work = Promise.race([Promise.all([answered, finished(body)]), late]);
      const [response] = await unlessAborted(work, signal);
      return replyOf(response, body.text, token);
    } catch (error) {
      if (signal.aborted || MeshError.is(error)) throw error;
      const problem = transportError(error, this.endpoint);
      if (MeshError.is(problem) && problem.code === "ATTACHE_MESH_TLS") await this.#readTlsAgain();
      throw problem;
    } finally {
      over.abort();
      context.emit("cancel");
      body.destroy();
    }
  }

  /** For the next connection: certificates are renewed, here as everywhere. */
  async #readTlsAgain(): Promise<void> {
    if (this.#agent instanceof HttpsAgent) this.#agent.options.secureContext = await secureContext(this.#tls);
  }

  get hasToken(): boolean {
    return this.#token.kind !== "none";
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

function replyOf(response: unknown, text: string, token: string | undefined): Reply {
  if (!(response instanceof IncomingMessage)) throw new TypeError("papi gave no response");
  const reply = { status: response.statusCode ?? 0, headers: response.headers, text };
  return { ...reply, problem: problemOf(reply, token) };
}

/** How often a silent connection is probed: an agent that has vanished is noticed before the query's time is up. */
const keepAliveMsecs = 15_000;

async function agentOf({ endpoint, tls }: ConnectionSettings): Promise<HttpAgent> {
  // The agent's host wins: papi leaves the brackets around an IPv6 address, and Node would look them up as a name.
  const common = { keepAlive: true, keepAliveMsecs, host: endpoint.host };
  if (!endpoint.isSecure) return new HttpAgent(common);
  return new HttpsAgent({
    ...common,
    secureContext: await secureContext(tls),
    rejectUnauthorized: !tls.insecureSkipVerify,
    ...(tls.serverName !== undefined && { servername: tls.serverName }),
  });
}

/** What the `consul` package's client can do beyond its types: any request, to a Writable, with an end to it. */
interface Papi {
  _get(options: PapiOptions, take: PapiMiddleware): Promise<unknown>;
}

interface PapiOptions {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Its event `cancel` ends the request. */
  readonly ctx: EventEmitter;
  readonly pipe: BoundedBody;
}

/** In place of papi's own judgement, whose errors hold the request with its token. */
type PapiMiddleware = (
  request: { readonly res?: unknown; readonly err?: unknown },
  next: (stop: false, outcome: unknown) => void,
) => void;

function papiOf({ isSecure, host, port, socketPath }: Endpoint, agent: HttpAgent): Papi {
  const isIpv6 = host.includes(":");
  const options = { secure: isSecure, host: isIpv6 ? `[${host}]` : host, port, agent, socketPath };
  const consul: object = new Consul(options);
  if (!isPapi(consul)) throw new TypeError("the consul package has changed: it has no _get");
  return consul;
}

function isPapi(consul: object): consul is Papi {
  return "_get" in consul && typeof consul._get === "function";
}
