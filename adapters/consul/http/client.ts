import Consul from "consul";
import { EventEmitter } from "node:events";
import { Agent as HttpAgent, IncomingMessage } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { finished } from "node:stream/promises";
import { checkServerIdentity } from "node:tls";
import { type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { unlessAborted } from "../../../src/runtime/abort.ts";
import { addressText } from "../../../src/mesh/kit/address.ts";
import { withoutZone } from "../../../src/text/host.ts";
import { sniOf } from "../../../src/text/tls.ts";
import { BoundedBody } from "./bounded-body.ts";
import type { AgentSettings } from "./connection-settings.ts";
import type { Endpoint } from "./endpoint.ts";
import { readLogin } from "./answers.ts";
import { problemOf, type HttpReply } from "./reply.ts";
import { secureContext, type TlsSettings } from "../tls.ts";
import { AclToken, type Login } from "../token.ts";
import { transportError } from "../transport-errors.ts";

export interface RequestOptions {
  readonly query?: Readonly<Record<string, string>>;
  /** For the whole answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** For an operator who has to correct it. */
const named = { what: "HTTP API", setting: "`address` or CONSUL_HTTP_ADDR" };

/** Consul asks the reviewer of the auth method's tokens meanwhile. */
const loginMs = 30_000;

interface Call extends RequestOptions {
  readonly path: string;
  readonly token: string | undefined;
  /** JSON of a POST; a GET without. */
  readonly body?: string;
  /** The token of the login that it is. */
  readonly bearerToken?: string;
}

/** The HTTP API of one agent, through the `consul` package, with bounds in size and time that it lacks. */
export class ConsulClient implements Disposable {
  readonly endpoint: Endpoint;
  readonly #acl: AclToken;
  readonly #datacenter: string | undefined;
  readonly #clock: Clock;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #tls: TlsSettings;
  readonly #papi: Papi;
  readonly #basicAuth: string | undefined;

  private constructor(settings: AgentSettings, agent: HttpAgent | HttpsAgent, clock: Clock) {
    this.endpoint = settings.endpoint;
    this.#acl = new AclToken(settings.token, clock);
    this.#datacenter = settings.datacenter;
    this.#clock = clock;
    this.#agent = agent;
    this.#tls = settings.tls;
    this.#papi = papiOf(settings.endpoint, agent);
    this.#basicAuth = settings.basicAuth;
  }

  /** @throws MeshError if files for TLS cannot be used. */
  static async open(settings: AgentSettings, clock: Clock): Promise<ConsulClient> {
    return new ConsulClient(settings, await agentOf(settings), clock);
  }

  /** @throws MeshError for anything but a whole answer of status 2xx; the signal's reason on its abort. */
  async get(path: string, options: RequestOptions): Promise<HttpReply> {
    const reply = await this.ask(path, options);
    if (reply.problem !== undefined) throw reply.problem;
    return reply;
  }

  /** As {@link get}, but hands out answers of all statuses. */
  async ask(path: string, options: RequestOptions): Promise<HttpReply> {
    const token = await this.#acl.read((login) => this.#logIn(login), options.signal);
    const reply = await this.#call({ ...options, path, token });
    // A login that has expired is replaced in silence, once.
    if (!(await this.#acl.replaces(token, reply.problem))) return reply;
    const another = await this.#acl.read((login) => this.#logIn(login), options.signal);
    return this.#call({ ...options, path, token: another });
  }

  /** Gives the token of a login back. @throws MeshError if Consul does not take it. */
  async logOut(): Promise<void> {
    await this.#acl.logOut(async (token) => {
      const { problem } = await this.#call({
        path: "/acl/logout",
        token,
        body: "",
        timeoutMs: loginMs,
        signal: new AbortController().signal,
      });
      if (problem !== undefined) throw problem;
    });
  }

  async #logIn({ authMethod, bearerToken, namespace, partition }: Login): Promise<string> {
    const { problem, text } = await this.#call({
      path: "/acl/login",
      query: { ...(namespace !== "" && { ns: namespace }), ...(partition !== "" && { partition }) },
      token: undefined,
      body: JSON.stringify({ AuthMethod: authMethod, BearerToken: bearerToken }),
      bearerToken,
      timeoutMs: loginMs,
      signal: new AbortController().signal,
    });
    if (problem !== undefined) throw problem;
    return readLogin(text);
  }

  async #call({ path, query, token, body, bearerToken, timeoutMs, signal }: Call): Promise<HttpReply> {
    signal.throwIfAborted();
    const over = new AbortController();
    const context = new EventEmitter();
    const received = new BoundedBody();
    const credentials = this.#basicAuth && Buffer.from(this.#basicAuth).toString("base64");
    const late = this.#clock.sleep(timeoutMs, over.signal).then(() => {
      throw new MeshError(
        "ATTACHE_MESH_TIMEOUT",
        `${this.endpoint.url} did not answer in ${timeoutMs / 1000} s`,
      );
    });
    const answered = this.#papi[body === undefined ? "_get" : "_post"](
      {
        path,
        query: { ...query, ...(this.#datacenter !== undefined && { dc: this.#datacenter }) },
        headers: {
          ...(token !== undefined && { "x-consul-token": token }),
          ...(credentials !== undefined && { authorization: `Basic ${credentials}` }),
        },
        ...(body !== undefined && { body: Buffer.from(body) }),
        ctx: context,
        pipe: received,
      },
      ({ res, err }, next) => next(false, res ?? err),
    );
    try {
      const work = Promise.race([Promise.all([answered, finished(received)]), late]);
      const [response] = await unlessAborted(work, signal);
      const password = this.#basicAuth?.replace(/^[^:]*:/, "");
      const secrets = [token, bearerToken, credentials, password].filter((one) => one !== undefined);
      return replyOf(response, received.text, secrets, bearerToken !== undefined);
    } catch (error) {
      if (signal.aborted || MeshError.is(error)) throw error;
      const problem = transportError(error, { ...this.endpoint, ...named });
      if (MeshError.is(problem) && problem.code === "ATTACHE_MESH_TLS") await this.#readTlsAgain();
      throw problem;
    } finally {
      over.abort();
      context.emit("cancel");
      received.destroy();
    }
  }

  /** For the next connection: certificates are renewed, here as everywhere. */
  async #readTlsAgain(): Promise<void> {
    if (this.#agent instanceof HttpsAgent) this.#agent.options.secureContext = await secureContext(this.#tls);
  }

  get hasToken(): boolean {
    return this.#acl.source.kind !== "none";
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

function replyOf(response: unknown, text: string, secrets: readonly string[], isLogin: boolean): HttpReply {
  if (!(response instanceof IncomingMessage)) throw new TypeError("papi gave no response");
  const reply = { status: response.statusCode ?? 0, headers: response.headers, text };
  return { ...reply, problem: problemOf(reply, secrets, isLogin) };
}

/**
 * How often a silent connection is probed: an agent that has vanished is noticed before the query's time is
 * up.
 */
const keepAliveMsecs = 15_000;

async function agentOf({ endpoint, tls, proxyUrl }: AgentSettings): Promise<HttpAgent> {
  // The agent's host wins: papi leaves the brackets around an IPv6 address, and Node would look them up as a
  // name.
  const common = {
    ...{ keepAlive: true, keepAliveMsecs, host: endpoint.host },
    ...(proxyUrl !== undefined && { proxyEnv: { HTTP_PROXY: proxyUrl, HTTPS_PROXY: proxyUrl } }),
  };
  if (!endpoint.isSecure) return new HttpAgent(common);
  const name = tls.serverName ?? withoutZone(endpoint.host);
  return new HttpsAgent({
    ...common,
    secureContext: await secureContext(tls),
    rejectUnauthorized: !tls.insecureSkipVerify,
    servername: sniOf(name) ?? "",
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  });
}

/**
 * What the `consul` package's client can do beyond its types: any request, to a Writable, with an end to it.
 */
interface Papi {
  _get(options: PapiOptions, take: PapiMiddleware): Promise<unknown>;
  _post(options: PapiOptions, take: PapiMiddleware): Promise<unknown>;
}

interface PapiOptions {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Its event `cancel` ends the request. */
  readonly ctx: EventEmitter;
  readonly pipe: BoundedBody;
}

/** In place of papi's own judgement, whose errors hold the request with its token. */
type PapiMiddleware = (
  request: { readonly res?: unknown; readonly err?: unknown },
  next: (stop: false, outcome: unknown) => void,
) => void;

function papiOf({ isSecure, host, port, path, socketPath }: Endpoint, agent: HttpAgent): Papi {
  const authority = addressText({ host: withoutZone(host), port });
  const baseUrl = `${isSecure ? "https" : "http"}://${authority}${path}/v1`;
  // The package takes `baseUrl` beyond its types; without it, it would have no path.
  const options = { baseUrl, agent, socketPath };
  const consul: object = new Consul(options);
  if (!isPapi(consul)) throw new TypeError("the consul package has changed: it has no _get or _post");
  return consul;
}

function isPapi(consul: object): consul is Papi {
  return ["_get", "_post"].every((name) => name in consul);
}
