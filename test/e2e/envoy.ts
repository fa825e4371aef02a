import { execFile } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Guarded } from "../peers/guarded.ts";
import type { Compiled, File, Pair, UpstreamCluster, UpstreamTls } from "./compile.ts";
import { type EnvoyPeer, envoyProgram, runEnvoy } from "./envoy-process.ts";

/** Where an Envoy listens, all on one address of 127.0.0.0/8. */
export interface EnvoyAddress {
  readonly host: string;
  /** For requests, in plain text. */
  readonly port: number;
  readonly adminPort: number;
}

/** A real Envoy that takes its configuration from files in a folder, each replaced by a rename. */
export interface Envoy extends AsyncDisposable {
  /**
   * Has Envoy itself look at the whole configuration, and hands it to the running one if it is accepted.
   * @param hosts what Hosts present downstream, which is looked at and no more
   * @returns whether it was.
   */
  configure(compiled: Compiled, hosts: readonly Pair[]): Promise<boolean>;
  /** What it said when it refused the last configuration; empty after one that it took. */
  readonly refusal: string;
}

export async function startEnvoy(folder: string, at: EnvoyAddress, peer: EnvoyPeer): Promise<Envoy> {
  const program = await envoyProgram(peer);
  const path = (name: string) => join(folder, name);
  const written = new Set<string>();
  let running: Guarded | undefined;
  let refusal = "";
  let turn = 0;

  async function writeFiles(all: readonly UpstreamTls[]): Promise<void> {
    for (const { name, text } of all.flatMap(filesOf)) {
      // As in Emissary: what was decoded once stays where it is.
      if (!written.has(name)) await writeFile(path(name), text, { mode: 0o600 });
      written.add(name);
    }
  }

  async function isValid(
    clusters: readonly object[],
    routes: object,
    hosts: readonly Pair[],
  ): Promise<boolean> {
    const file = path("validated.json");
    const downstream = hosts.map((pair) => commonOf({ pair }, path));
    const listener = listenerOf(at, { route_config: routes }, downstream);
    const resources = { static_resources: { clusters, listeners: [listener] } };
    await writeFile(file, JSON.stringify({ ...bootstrapOf(at), ...resources }));
    try {
      await promisify(execFile)(program, ["--mode", "validate", "-l", "error", "-c", file]);
      refusal = "";
    } catch (error) {
      refusal = error instanceof Error ? error.message : String(error);
    }
    return refusal === "";
  }

  async function replace(name: string, type: string, resources: readonly object[]): Promise<void> {
    turn += 1;
    const answer = {
      version_info: String(turn),
      resources: resources.map((one) => ({ "@type": `type.googleapis.com/${type}`, ...one })),
    };
    await writeFile(path(`.${name}`), JSON.stringify(answer));
    await rename(path(`.${name}`), path(name));
  }

  async function start(): Promise<void> {
    await replace("listeners.json", "envoy.config.listener.v3.Listener", [
      listenerOf(at, { rds: { route_config_name: "routes", config_source: sourceOf(path("routes.json")) } }),
    ]);
    const dynamic_resources = {
      cds_config: sourceOf(path("clusters.json")),
      lds_config: sourceOf(path("listeners.json")),
    };
    await writeFile(path("envoy.json"), JSON.stringify({ ...bootstrapOf(at), dynamic_resources }));
    running = await runEnvoy(path("envoy.json"), { host: at.host, port: at.adminPort }, peer);
  }

  await mkdir(folder, { recursive: true });
  return {
    get refusal() {
      return refusal;
    },
    async configure(compiled, hosts) {
      const upstreams = [
        ...new Map([...compiled.values()].map(({ cluster }) => [cluster.name, cluster])).values(),
      ];
      await writeFiles([...upstreams.flatMap(({ tls = [] }) => tls), ...hosts.map((pair) => ({ pair }))]);
      const clusters = upstreams.map((one) => clusterFor(one, path));
      const routes = routesOf(compiled);
      if (!(await isValid(clusters, routes, hosts))) return false;
      await replace("clusters.json", "envoy.config.cluster.v3.Cluster", clusters);
      await replace("routes.json", "envoy.config.route.v3.RouteConfiguration", [routes]);
      if (running === undefined) await start();
      return true;
    },
    async [Symbol.asyncDispose]() {
      await running?.[Symbol.asyncDispose]();
    },
  };
}

function filesOf({ pair, ca, crl }: UpstreamTls): File[] {
  return [pair?.certificate, pair?.key, ca, crl].filter((file) => file !== undefined);
}

function bootstrapOf({ host, adminPort }: EnvoyAddress): object {
  return {
    node: { id: "e2e", cluster: "e2e" },
    admin: { address: { socket_address: { address: host, port_value: adminPort } } },
  };
}

function sourceOf(path: string): object {
  return { path_config_source: { path }, resource_api_version: "V3" };
}

/**
 * @param routes `rds`, or `route_config`.
 * @param downstream the TLS of each Host, which is by its name
 */
function listenerOf(
  { host, port }: EnvoyAddress,
  routes: object,
  downstream: readonly object[] = [],
): object {
  const manager = {
    "@type":
      "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    stat_prefix: "ingress_http",
    http_filters: [
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
      },
    ],
    ...routes,
  };
  const filters = [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }];
  return {
    name: "ingress",
    address: { socket_address: { address: host, port_value: port } },
    filter_chains: [
      { filters },
      ...downstream.map((common_tls_context, index) => ({
        filters,
        filter_chain_match: { server_names: [`host-${index}`] },
        transport_socket: socketOf("Downstream", { common_tls_context }),
      })),
    ],
  };
}

/** Longer prefixes first, as Emissary sorts them. */
function routesOf(compiled: Compiled): object {
  const routes = [...compiled.values()]
    .filter(({ plural }) => plural === "mappings")
    .toSorted((one, other) => other.prefix.length - one.prefix.length)
    .map(({ prefix, rewrite, timeoutMs, cluster }) => ({
      match: { prefix },
      route: { cluster: cluster.name, prefix_rewrite: rewrite, timeout: secondsOf(timeoutMs) },
    }));
  return { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] };
}

function clusterFor(cluster: UpstreamCluster, path: (name: string) => string): object {
  const { name, statsName, host, port, connectTimeoutMs, tls } = cluster;
  const address = { socket_address: { address: host, port_value: port } };
  return {
    name,
    alt_stat_name: statsName,
    type: "STRICT_DNS",
    dns_lookup_family: "V4_ONLY",
    connect_timeout: secondsOf(connectTimeoutMs),
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }] },
    ...(tls && {
      transport_socket: socketOf("Upstream", {
        ...(tls.sni !== undefined && { sni: tls.sni }),
        ...(tls.cert_required !== undefined && { require_client_certificate: tls.cert_required }),
        common_tls_context: commonOf(tls, path),
      }),
    }),
  };
}

function secondsOf(ms: number): string {
  return `${ms / 1_000}s`;
}

function socketOf(side: "Upstream" | "Downstream", context: object): object {
  const type = `type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.${side}TlsContext`;
  return { name: "envoy.transport_sockets.tls", typed_config: { "@type": type, ...context } };
}

function commonOf(tls: UpstreamTls, path: (name: string) => string): object {
  const { pair, ca, crl, alpn_protocols, cipher_suites, ecdh_curves, ...versions } = tls;
  const source = ({ name }: File) => ({ filename: path(name) });
  const version = (written: string | undefined) => written?.replace(/^v(\d)\.(\d)$/, "TLSv$1_$2");
  return {
    ...(pair && {
      tls_certificates: [{ certificate_chain: source(pair.certificate), private_key: source(pair.key) }],
    }),
    ...((ca ?? crl) && { validation_context: { trusted_ca: ca && source(ca), crl: crl && source(crl) } }),
    ...(alpn_protocols !== undefined && { alpn_protocols: [alpn_protocols] }),
    tls_params: {
      ...{ cipher_suites, ecdh_curves },
      tls_minimum_protocol_version: version(versions.min_tls_version),
      tls_maximum_protocol_version: version(versions.max_tls_version),
    },
  };
}
