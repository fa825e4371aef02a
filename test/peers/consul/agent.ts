import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildPeer } from "../build.ts";
import { type Guarded, startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";

export interface ConsulOptions {
  /** For its configuration; the caller removes it. */
  readonly folder: string;
  /**
   * Default policy deny; {@link managementToken} may do everything. Then intentions deny by default as well.
   */
  readonly acl?: boolean;
  readonly tls?: ServerTls;
  /** Whether Connect is off. */
  readonly isWithoutCa?: boolean;
  /** More of its configuration. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** Paths of PEM files. */
export interface ServerTls {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** Clients must show a certificate that the CA has signed. */
  readonly verifyIncoming: boolean;
}

/** A real Consul agent in development mode: server and agent in one, with its CA, in memory. */
export interface ConsulAgent extends AsyncDisposable {
  readonly port: number;
  /** `http://127.0.0.1:…` */
  readonly address: string;
  /** 0 without TLS. */
  readonly httpsPort: number;
  /** Of its servers' side, in plain text. */
  readonly grpcPort: number;
  /** The same with TLS; 0 without. */
  readonly grpcTlsPort: number;
  /** Asks its HTTP API with all rights; the answer's JSON. */
  call(method: "GET" | "PUT" | "DELETE", path: string, body?: unknown): Promise<unknown>;
  /**
   * Starts another program of the same binary, e.g. `connect proxy`, that speaks to this agent with all
   * rights.
   */
  run(...args: readonly string[]): Guarded;
}

export const managementToken = "6a5f1c9e-27b4-4b1d-8f0e-93d2c7a4e815";

export async function startConsul(options: ConsulOptions): Promise<ConsulAgent> {
  const [http = 0, https = 0, grpc = 0, grpcTls = 0, server = 0, serf = 0] = await freePorts(6);
  const file = join(options.folder, `consul-${http}.json`);
  await writeFile(file, JSON.stringify(configuration(options, { http, https, grpc, grpcTls, server, serf })));
  const program = join(await buildPeer("consul"), "consul");
  const agent = startGuarded(program, ["agent", "-dev", "-log-level=warn", `-config-file=${file}`]);
  const address = `http://127.0.0.1:${http}`;

  async function ask(method: string, path: string, body?: unknown): Promise<Response> {
    return fetch(`${address}/v1${path}`, {
      method,
      headers: { "x-consul-token": managementToken },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }

  try {
    // Ready once its CA signs: by then there is a leader, and the tokens are known.
    const path = options.isWithoutCa === true ? "/catalog/nodes" : "/agent/connect/ca/leaf/ready";
    await agent.until(async () => {
      const answer = await ask("GET", path).catch(() => undefined);
      return answer?.ok === true && (await answer.text()) !== "[]";
    }, "its first answer");
  } catch (error) {
    await agent[Symbol.asyncDispose]();
    throw error;
  }

  return {
    port: http,
    address,
    httpsPort: options.tls === undefined ? 0 : https,
    grpcPort: grpc,
    grpcTlsPort: options.tls === undefined ? 0 : grpcTls,
    async call(method, path, body) {
      const answer = await ask(method, path, body);
      const text = await answer.text();
      assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
      return text.startsWith("{") || text.startsWith("[") ? (JSON.parse(text) as unknown) : text;
    },
    run: (...args) => startGuarded(program, [...args, `-http-addr=${address}`, `-token=${managementToken}`]),
    [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
  };
}

type Ports = Readonly<Record<"http" | "https" | "grpc" | "grpcTls" | "server" | "serf", number>>;

/** See https://developer.hashicorp.com/consul/docs/agent/config/config-files; -1 is off. */
function configuration({ acl, tls, isWithoutCa, more }: ConsulOptions, ports: Ports): object {
  return {
    bind_addr: "127.0.0.1",
    ports: {
      http: ports.http,
      https: tls === undefined ? -1 : ports.https,
      grpc: ports.grpc,
      grpc_tls: tls === undefined ? -1 : ports.grpcTls,
      dns: -1,
      server: ports.server,
      serf_lan: ports.serf,
      serf_wan: -1,
    },
    ...(acl === true && {
      acl: { enabled: true, default_policy: "deny", tokens: { initial_management: managementToken } },
    }),
    ...(tls && { tls: { https: tlsOf(tls), grpc: tlsOf(tls) } }),
    ...(isWithoutCa === true && { connect: { enabled: false } }),
    ...more,
  };
}

function tlsOf({ caFile, certFile, keyFile, verifyIncoming }: ServerTls): object {
  return { ca_file: caFile, cert_file: certFile, key_file: keyFile, verify_incoming: verifyIncoming };
}
