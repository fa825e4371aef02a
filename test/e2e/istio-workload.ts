import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent } from "../peers/istio/agent.ts";
import { freePorts } from "../peers/ports.ts";
import { runEnvoy } from "./envoy-process.ts";
import { openTap, type Tap } from "./tap.ts";

/**
 * A workload of an Istio mesh under strict mTLS: Envoy as its inbound listener, whose certificate and roots a
 * real agent gives it over SDS.
 */
export interface IstioWorkload extends AsyncDisposable {
  readonly tap: Tap;
  /** `127.0.0.1:PORT`, for a Mapping; it answers with the SPIFFE ID that it was shown. */
  readonly service: string;
}

export async function startIstioWorkload(agent: Agent): Promise<IstioWorkload> {
  const folder = await mkdtemp(join(tmpdir(), "attache-workload-"));
  const [port = 0, adminPort = 0] = await freePorts(2);
  const file = join(folder, "envoy.json");
  await writeFile(file, JSON.stringify(bootstrapOf(agent.socket, port, adminPort)));
  // It is not ready before its listener has a certificate.
  const envoy = await runEnvoy(file, { host: "127.0.0.1", port: adminPort });
  const tap = await openTap(port);
  return {
    tap,
    service: `127.0.0.1:${tap.port}`,
    async [Symbol.asyncDispose]() {
      await tap[Symbol.asyncDispose]();
      await envoy[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

const type = (name: string) => `type.googleapis.com/envoy.${name}`;
const at = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

/** What of istiod's configuration of a sidecar has to do with inbound mTLS. */
function bootstrapOf(socket: string, port: number, adminPort: number): object {
  const manager = {
    "@type": type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: "inbound",
    http_filters: [
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": type("extensions.filters.http.router.v3.Router") },
      },
    ],
    route_config: {
      virtual_hosts: [
        {
          name: "inbound",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }],
          response_headers_to_add: [{ header: { key: "shown", value: "%DOWNSTREAM_PEER_URI_SAN%" } }],
        },
      ],
    },
  };
  const tls = {
    "@type": type("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
    require_client_certificate: true,
    common_tls_context: {
      alpn_protocols: ["istio-peer-exchange", "h2", "http/1.1"],
      tls_certificate_sds_secret_configs: [secret("default")],
      validation_context_sds_secret_config: secret("ROOTCA"),
    },
  };
  return {
    node: { id: "sidecar~127.0.0.1~web.emissary~emissary.svc.cluster.local", cluster: "web.emissary" },
    admin: { address: at(adminPort) },
    static_resources: {
      clusters: [
        {
          name: "sds-grpc",
          type: "STATIC",
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": type("extensions.upstreams.http.v3.HttpProtocolOptions"),
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: "sds-grpc",
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
          },
        },
      ],
      listeners: [
        {
          name: "inbound",
          address: at(port),
          filter_chains: [
            {
              filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }],
              transport_socket: { name: "envoy.transport_sockets.tls", typed_config: tls },
            },
          ],
        },
      ],
    },
  };
}

function secret(name: string): object {
  const source = {
    api_type: "GRPC",
    transport_api_version: "V3",
    set_node_on_first_message_only: true,
    grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
  };
  return {
    name,
    sds_config: { api_config_source: source, resource_api_version: "V3", initial_fetch_timeout: "0s" },
  };
}
