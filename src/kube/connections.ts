import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import { Agent, type Dispatcher, ProxyAgent, Socks5ProxyAgent } from "undici";
import { sniOf } from "../text/tls.ts";
import type { Access, Tls } from "./access.ts";

const connectTimeoutMs = 10_000;

/** Below the 90 s after which the API server closes an idle connection. */
const keepAliveTimeout = 60_000;

/** How soon a silent connection is probed: before the minute after which load balancers forget it. */
const keepAliveInitialDelay = 30_000;

interface ConnectionOptions extends Pick<Access, "server" | "proxyUrl"> {
  /** How many there are at most; what finds none free waits. */
  readonly max?: number;
}

/**
 * Connections to one API server, kept and used again; new ones are made when a certificate or the CA changes.
 */
export class Connections implements AsyncDisposable {
  readonly #options: ConnectionOptions;
  #current: { readonly tls: Tls; readonly dispatcher: Dispatcher } | undefined;
  readonly #open = new Set<Dispatcher>();
  readonly #requests = new Requests();

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  with(tls: Tls): Dispatcher {
    if (this.#current === undefined || !isDeepStrictEqual(this.#current.tls, tls)) {
      const before = this.#current?.dispatcher;
      this.#current = { tls, dispatcher: this.#requests.over(dispatcherOf(tls, this.#options)) };
      this.#open.add(this.#current.dispatcher);
      // Ends when the last of its requests has.
      void before?.close().then(() => this.#open.delete(before));
    }
    return this.#current.dispatcher;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // One that is being closed does not know its requests any more.
    this.#requests.abort(new Error("the connections to the API server were closed"));
    await Promise.all([...this.#open].map((dispatcher) => dispatcher.destroy()));
  }
}

/** What is being requested over some dispatchers, so that it can be ended. */
class Requests {
  readonly #running = new Set<Dispatcher.DispatchController>();
  #reason: Error | undefined;

  /** Counts the requests of `dispatcher` among these. */
  over(dispatcher: Dispatcher): Dispatcher {
    return dispatcher.compose((dispatch) => (options, handler) => dispatch(options, this.#listed(handler)));
  }

  /** Also those that wait for a connection, when they begin. */
  abort(reason: Error): void {
    this.#reason = reason;
    for (const controller of this.#running) controller.abort(reason);
  }

  #listed(handler: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
    return {
      onRequestStart: (controller, context) => {
        this.#running.add(controller);
        handler.onRequestStart?.(controller, context);
        if (this.#reason !== undefined) controller.abort(this.#reason);
      },
      onResponseStart: (...of) => handler.onResponseStart?.(...of),
      onResponseData: (...of) => handler.onResponseData?.(...of),
      onResponseEnd: (controller, trailers) => {
        this.#running.delete(controller);
        handler.onResponseEnd?.(controller, trailers);
      },
      onResponseError: (controller, error) => {
        this.#running.delete(controller);
        handler.onResponseError?.(controller, error);
      },
    };
  }
}

function dispatcherOf(tls: Tls, { server, proxyUrl, max }: ConnectionOptions): Dispatcher {
  const secure = secureOf(tls, new URL(server).hostname);
  const common = {
    ...(max !== undefined && { connections: max }),
    // HTTP/2 would put all on one, so that one that hangs stops all, and is not quicker.
    allowH2: false,
    keepAliveTimeout,
    // Deadlines are the clock's.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  const connect = { ...secure, timeout: connectTimeoutMs, keepAlive: true, keepAliveInitialDelay };
  if (proxyUrl === undefined) return new Agent({ ...common, connect });
  if (proxyUrl.startsWith("socks")) return new Socks5ProxyAgent(proxyUrl, { ...common, requestTls: secure });
  return new ProxyAgent({ ...common, uri: proxyUrl, requestTls: secure });
}

function secureOf({ servername, ...tls }: Tls, hostname: string) {
  const host = servername ?? hostname.replace(/^\[(.*)\]$/, "$1");
  const secure = {
    ...tls,
    // As kubectl: what the kubeconfig names is trusted, also where it is no root.
    allowPartialTrustChain: true,
    servername: sniOf(host),
    checkServerIdentity: (_: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate),
  };
  return Object.fromEntries(Object.entries(secure).filter(([, value]) => value !== undefined));
}
