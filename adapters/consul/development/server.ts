import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
} from "@grpc/grpc-js";
import { randomUUID } from "node:crypto";
import type { Authority } from "../../../src/mesh/development/authority.ts";
import { readCsr } from "../../../src/mesh/development/csr.ts";
import { listen, restartable, shutDown } from "../../../src/mesh/development/server.ts";
import { aclService, type LoginRequest, type LoginResponse, type LogoutRequest } from "../proto/acl.pb.ts";
import {
  connectCAService,
  type SignRequest,
  type SignResponse,
  type WatchRootsRequest,
  type WatchRootsResponse,
} from "../proto/connectca.pb.ts";
import {
  serverDiscoveryService,
  type Server as NamedServer,
  type WatchServersRequest,
  type WatchServersResponse,
} from "../proto/serverdiscovery.pb.ts";
import { Acl, Refusal } from "./acl.ts";

export { Refusal } from "./acl.ts";

/** A Consul server for development: signs CSRs on loopback, from a real authority. */
export interface DevelopmentServer extends AsyncDisposable {
  readonly port: number;
  /** What connects the adapter to it; with TLS, `tls` is to be added. */
  readonly settings: { readonly mode: "grpc"; readonly addresses: readonly string[] };
  readonly acl: Acl;
  /** The calls so far, the oldest first. */
  readonly calls: readonly Call[];
  /** How many connections were made. */
  readonly connections: number;
  /** Consul's servers, as they are named from now on. */
  name(servers: readonly Pick<NamedServer, "address" | "version">[]): void;
  /**
   * For tests of clients: what each call comes to, before anything else, from now on; `undefined` for the
   * truth.
   */
  refuse(refuse: Refuse | undefined): void;
  /** Ends all streams: as if all had been said, or with an error. */
  endStreams(error?: Refusal): void;
  /** Ends the server and all connections. */
  stop(): Promise<void>;
  /** Brings the server back, at the same port. */
  resume(): Promise<void>;
}

type Method = "WatchRoots" | "Sign" | "WatchServers" | "Login" | "Logout";

interface Call {
  readonly method: Method;
  readonly token: string | undefined;
}

/** What a call is refused with; "never" for one that is never answered, `undefined` for none. */
type Refuse = (call: Call) => Refusal | "never" | undefined;

export interface DevelopmentServerOptions {
  readonly authority: Authority;
  /** `dc1` by default. */
  readonly datacenter?: string;
  /** What the roots are called: "Consul CA Primary Cert" by default, as those of Consul's own CA. */
  readonly caName?: string;
  /** Plain text by default. */
  readonly security?: ServerCredentials;
  /** An address of this machine, and a port: by default 127.0.0.1, and any that is free. */
  readonly host?: string;
  readonly port?: number;
}

export async function startDevelopmentServer(options: DevelopmentServerOptions): Promise<DevelopmentServer> {
  const { security = ServerCredentials.createInsecure(), authority, host = "127.0.0.1" } = options;
  const service = new Service(options);
  let port = options.port ?? 0;
  const running = await restartable(async () => {
    const server = new Server();
    server.addService(connectCAService, { watchRoots: service.watchRoots, sign: service.sign });
    server.addService(aclService, { login: service.login, logout: service.logout });
    server.addService(serverDiscoveryService, { watchServers: service.watchServers });
    port = await listen(server, `${host}:${port}`, security);
    return { [Symbol.asyncDispose]: () => shutDown(server) };
  });
  const unsubscribe = authority.subscribe(() => service.pushRoots());

  return {
    port,
    settings: { mode: "grpc", addresses: [`${security._isSecure() ? "" : "http://"}${host}:${port}`] },
    acl: service.acl,
    calls: service.calls,
    get connections() {
      return service.peers.size;
    },
    name: (servers) => service.pushServers(servers),
    refuse: (refuse) => {
      service.refuse = refuse ?? (() => undefined);
    },
    endStreams: (error) => service.endStreams(error),
    stop: () => running.stop(),
    resume: () => running.resume(),
    async [Symbol.asyncDispose]() {
      unsubscribe();
      await running.stop();
    },
  };
}

type Named = readonly Pick<NamedServer, "address" | "version">[];

/** What the server does, in Consul's own words (agent/grpc-external/services). */
class Service {
  readonly acl = new Acl();
  readonly calls: Call[] = [];
  readonly peers = new Set<string>();
  refuse: Refuse = () => undefined;
  readonly #authority: Authority;
  readonly #datacenter: string;
  readonly #caName: string;
  readonly #rootStreams = new Set<ServerWritableStream<WatchRootsRequest, WatchRootsResponse>>();
  readonly #serverStreams = new Set<ServerWritableStream<WatchServersRequest, WatchServersResponse>>();
  #named: Named = [{ address: "127.0.0.1", version: "1.16.2" }];

  constructor({
    authority,
    datacenter = "dc1",
    caName = "Consul CA Primary Cert",
  }: DevelopmentServerOptions) {
    this.#caName = caName;
    this.#authority = authority;
    this.#datacenter = datacenter;
  }

  pushRoots(): void {
    for (const stream of this.#rootStreams) stream.write(rootsMessage(this.#authority, this.#caName));
  }

  pushServers(named: Named): void {
    this.#named = named;
    for (const stream of this.#serverStreams) stream.write(serversMessage(named));
  }

  endStreams(error?: Refusal): void {
    for (const stream of [...this.#rootStreams, ...this.#serverStreams]) {
      if (error === undefined) stream.end();
      else stream.emit("error", error);
    }
  }

  readonly watchRoots = this.#streaming("WatchRoots", this.#rootStreams, () =>
    rootsMessage(this.#authority, this.#caName),
  );

  readonly watchServers = this.#streaming("WatchServers", this.#serverStreams, () =>
    serversMessage(this.#named),
  );

  readonly sign = this.#unary("Sign", ({ csr }: SignRequest, token): SignResponse => {
    const { uris, publicKey } = readable(csr);
    const [uri = ""] = uris;
    const { trustDomain, datacenter, service } = parts.exec(uri)?.groups ?? {};
    if (service === undefined) {
      throw new Refusal(status.INVALID_ARGUMENT, "SPIFFE ID is not in the expected format");
    }
    this.acl.assertMaySign(token, decodeURIComponent(service));
    if (datacenter !== this.#datacenter) {
      throw new Refusal(
        status.INVALID_ARGUMENT,
        `SPIFFE ID in CSR from a different datacenter: ${datacenter}, we are ${this.#datacenter}`,
      );
    }
    if (trustDomain !== this.#authority.trustDomain) {
      throw new Refusal(
        status.INVALID_ARGUMENT,
        `SPIFFE ID in CSR from a different trust domain: ${trustDomain}, we are ${this.#authority.trustDomain}`,
      );
    }
    const chain = this.#authority.sign({ uri, publicKey });
    return { certPem: chain.map((certificate) => certificate.toPem()).join("") };
  });

  readonly login = this.#unary("Login", (request: LoginRequest): LoginResponse => ({
    token: { accessorId: randomUUID(), secretId: this.acl.logIn(request) },
  }));

  readonly logout = this.#unary("Logout", ({ token }: LogoutRequest): object => {
    this.acl.logOut(token);
    return {};
  });

  #unary<Q, A>(method: Method, answer: (request: Q, token: string | undefined) => A | Promise<A>) {
    return (call: ServerUnaryCall<Q, A>, reply: sendUnaryData<A>): void => {
      const work = async () => {
        const token = await this.#admit(method, call);
        return answer(call.request, token);
      };
      work().then(
        (value) => reply(null, value),
        (error: unknown) => reply(error as Refusal),
      );
    };
  }

  #streaming<Q, A>(method: Method, streams: Set<ServerWritableStream<Q, A>>, first: () => A) {
    return (stream: ServerWritableStream<Q, A>): void => {
      stream.on("close", () => streams.delete(stream));
      stream.on("cancelled", () => streams.delete(stream));
      this.#admit(method, stream)
        .then((token) => {
          this.acl.assertKnown(token);
          streams.add(stream);
          stream.write(first());
        })
        .catch((error: unknown) => stream.emit("error", error));
    };
  }

  /** @throws Refusal */
  async #admit(
    method: Method,
    call: ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>,
  ) {
    this.peers.add(call.getPeer());
    const [value] = call.metadata.get("x-consul-token");
    const token = typeof value === "string" ? value : undefined;
    this.calls.push({ method, token });
    const refusal = this.refuse({ method, token });
    if (refusal === "never") await new Promise(() => undefined);
    else if (refusal !== undefined) throw refusal;
    return token;
  }
}

const parts =
  /^spiffe:\/\/(?<trustDomain>[^/]+)(?:\/ap\/[^/]+)?\/ns\/[^/]+\/dc\/(?<datacenter>[^/]+)\/svc\/(?<service>[^/]+)$/;

function rootsMessage(authority: Authority, name: string): WatchRootsResponse {
  const roots = authority.roots().map(({ certificate, intermediates, active }) => ({
    id: certificate.fingerprint,
    name,
    rootCert: certificate.toPem(),
    intermediateCerts: intermediates.map((one) => one.toPem()),
    active,
  }));
  return { activeRootId: roots.at(-1)?.id ?? "", trustDomain: authority.trustDomain, roots };
}

function serversMessage(named: Named): WatchServersResponse {
  return { servers: named.map((server) => ({ id: server.address, ...server })) };
}

/** @throws Refusal */
function readable(csr: string) {
  try {
    return readCsr(csr);
  } catch (error) {
    throw new Refusal(status.INVALID_ARGUMENT, String(error));
  }
}
