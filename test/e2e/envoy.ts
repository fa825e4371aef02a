import { execFile } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Guarded } from "../peers/guarded.ts";
import type { Compiled, File, UpstreamCluster, UpstreamTls } from "./compile.ts";
import { envoyProgram, runEnvoy } from "./envoy-process.ts";

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
   * @returns whether it was.
   */
  configure(compiled: Compiled): Promise<boolean>;
  /** What it said when it refused the last configuration; empty after one that it took. */
  readonly refusal: string;
}

export async function startEnvoy(folder: string, at: EnvoyAddress): Promise<Envoy> {
  const program = await envoyProgram();
  const path = (name: string) => join(folder, name);
  const written = new Set<string>();
  let running: Guarded | undefined;
  let refusal = "";
  let turn = 0;

  async function writeFiles(clusters: readonly UpstreamCluster[]): Promise<void> {
    for (const { tls } of clusters) {
      for (const { name, text } of filesOf(tls)) {
        // As in Emissary: what was decoded once stays where it is.
        if (!written.has(name)) await writeFile(path(name), text, { mode: 0o600 });
        written.add(name);
      }
    }
  }

  async function isValid(clusters: readonly object[], routes: object): Promise<boolean> {
    const file = path("validated.json");
    const listener = listenerOf(at, { route_config: routes });
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
    running = await runEnvoy(path("envoy.json"), { host: at.host, port: at.adminPort });
  }

  await mkdir(folder, { recursive: true });
  return {
    get refusal() {
      return refusal;
    },
    async configure(compiled) {
      const upstreams = [
        ...new Map([...compiled.values()].map(({ cluster }) => [cluster.name, cluster])).values(),
      ];
      await writeFiles(upstreams);
      const clusters = upstreams.map((one) => clusterFor(one, path));
      const routes = routesOf(compiled);
      if (!(await isValid(clusters, routes))) return false;
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

function filesOf(tls: UpstreamTls | undefined): File[] {
  return [tls?.pair?.certificate, tls?.pair?.key, tls?.ca].filter((file) => file !== undefined);
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

/** @param routes `rds`, or `route_config`. */
function listenerOf({ host, port }: EnvoyAddress, routes: object): object {
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
  return {
    name: "ingress",
    address: { socket_address: { address: host, port_value: port } },
    filter_chains: [
      { filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] },
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
      transport_socket: {
        name: "envoy.transport_sockets.tls",
        typed_config: {
          "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
          ...(tls.sni !== undefined && { sni: tls.sni }),
          common_tls_context: commonOf(tls, path),
        },
      },
    }),
  };
}

function secondsOf(ms: number): string {
  return `${ms / 1_000}s`;
}

function commonOf({ pair, ca, alpn, minimum }: UpstreamTls, path: (name: string) => string): object {
  const source = ({ name }: File) => ({ filename: path(name) });
  return {
    ...(pair && {
      tls_certificates: [{ certificate_chain: source(pair.certificate), private_key: source(pair.key) }],
    }),
    ...(ca && { validation_context: { trusted_ca: source(ca) } }),
    ...(alpn !== undefined && { alpn_protocols: [alpn] }),
    ...(minimum !== undefined && {
      tls_params: { tls_minimum_protocol_version: minimum.replace(/^v(\d)\.(\d)$/, "TLSv$1_$2") },
    }),
  };
}
