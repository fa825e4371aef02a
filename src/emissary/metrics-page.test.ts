import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type MetricsPage, MetricsPageReader } from "./metrics-page.ts";

/** Of a real Envoy 1.38.3, and of Emissary. */
const page = `# TYPE envoy_cluster_manager_cds_update_success counter
envoy_cluster_manager_cds_update_success{} 7
# TYPE envoy_cluster_membership_total gauge
envoy_cluster_membership_total{envoy_cluster_name="plain"} 1
envoy_cluster_membership_total{envoy_cluster_name="svc-a_443"} 1
# TYPE envoy_cluster_ssl_handshake counter
envoy_cluster_ssl_handshake{envoy_cluster_name="anonymous"} 0
envoy_cluster_ssl_handshake{envoy_cluster_name="svc-a_443"} 3
# TYPE envoy_cluster_ssl_certificate_expiration_unix_time_seconds gauge
envoy_cluster_ssl_certificate_expiration_unix_time_seconds{envoy_tls_certificate="unnamed_ca_cert_e3b0c442",envoy_cluster_name="other"} 1799834143
envoy_cluster_ssl_certificate_expiration_unix_time_seconds{envoy_tls_certificate="unnamed_ca_cert_e3b0c442",envoy_cluster_name="svc-a_443"} 1804154143
envoy_cluster_ssl_certificate_expiration_unix_time_seconds{envoy_tls_certificate="unnamed_cert_e3b0c442",envoy_cluster_name="svc-a_443"} 1795773343
# TYPE envoy_server_uptime gauge
envoy_server_uptime{} 605
# HELP ambassador_reconfiguration_time_seconds Time
ambassador_reconfiguration_time_seconds 1.25
# HELP ambassador_diagnostics_info Ambassador diagnostic info
ambassador_diagnostics_info{ambassador_id="default",cluster_id="0",single_namespace="False",version="4.1.0"} 1.0
`;

function read(
  text: string,
  pieces: readonly number[] = [],
  wanted = ["plain", "anonymous", "svc-a_443"],
): MetricsPage {
  const reader = new MetricsPageReader(new Set(wanted));
  let rest = Buffer.from(text);
  for (const length of pieces) {
    reader.take(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  reader.take(rest);
  return reader.end();
}

const seen: MetricsPage = {
  clusters: new Map([
    ["plain", { leaves: [], roots: [], hasTls: false }],
    ["anonymous", { leaves: [], roots: [], hasTls: true }],
    ["svc-a_443", { leaves: [1_795_773_343], roots: [1_804_154_143], hasTls: true }],
  ]),
  hasEnvoy: true,
  hasCertificates: true,
  version: "4.1.0",
  bytes: page.length,
  reconfigurationMs: 1_250,
  updates: 7,
  uptimeMs: 605_000,
};

describe("the metrics page of an ingress pod", () => {
  it("tells leaf and roots of the clusters that are looked for", () => {
    expect(read(page)).toEqual(seen);
  });

  it("says the same in whatever pieces it comes", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 30 }), (pieces) => {
        expect(read(page, pieces)).toEqual(seen);
      }),
    );
  });

  it("may be garbage", () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(page.length), (garbage, at) => {
        read(page.slice(0, at) + garbage + page.slice(at), [at]);
      }),
    );
    expect(read("<html>\n\0\n")).toEqual({
      ...{ clusters: new Map(), hasEnvoy: false, hasCertificates: false },
      bytes: 9,
    });
  });

  it.each(["NaN", "", "x", "1 2 3"])("may say %j, which is no time", (value) => {
    const line = `envoy_cluster_ssl_certificate_expiration_unix_time_seconds{envoy_tls_certificate="unnamed_cert_1",envoy_cluster_name="plain"}`;
    expect(read(`${line} ${value}\n`).clusters.size).toBe(0);
  });

  it("keeps nothing of a line that is longer than any that is looked for", () => {
    const long = `envoy_cluster_membership_total{x="${"y".repeat(10_000)}",envoy_cluster_name="plain"} 1\n`;
    const { clusters } = read(
      long + page,
      Array.from({ length: 200 }, () => 97),
    );
    expect(clusters).toEqual(seen.clusters);
    expect(read(long).clusters.size).toBe(0);
  });

  it("that breaks off in a line has no such line", () => {
    const line = 'envoy_cluster_membership_total{envoy_cluster_name="plain"} 1';
    expect(read(line).clusters.size).toBe(0);
  });
});
