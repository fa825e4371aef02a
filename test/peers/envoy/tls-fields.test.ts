import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cipherSuites, ecdhCurves, tlsVersions } from "../../../src/api/spec.ts";
import { fieldProblems } from "../../../src/doctor/field-problems.ts";
import { buildPeer } from "../build.ts";

let folder: string;
let envoy: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-fields-"));
  envoy = `${await buildPeer("envoy")}/envoy`;
});
afterAll(() => rm(folder, { recursive: true }));

/** What the schema of MeshCertificate admits at most, as Emissary hands it to Envoy. */
const admitted: Readonly<Record<string, object>> = {
  "255 bytes of a protocol": { alpn_protocols: ["a".repeat(255), "!~"] },
  "4096 bytes of protocols": { alpn_protocols: Array.from({ length: 16 }, () => "b".repeat(255)) },
  ...Object.fromEntries(ecdhCurves.map((curve) => [curve, { tls_params: { ecdh_curves: [curve] } }])),
  "all curves": { tls_params: { ecdh_curves: ecdhCurves } },
  ...Object.fromEntries(cipherSuites.map((suite) => [suite, { tls_params: { cipher_suites: [suite] } }])),
  "all cipher suites": { tls_params: { cipher_suites: cipherSuites } },
  ...Object.fromEntries(
    tlsVersions.map((version) => {
      const envoyName = version.replace("v", "TLSv").replace(".", "_");
      const params = { tls_minimum_protocol_version: envoyName, tls_maximum_protocol_version: envoyName };
      return [version, { tls_params: params }];
    }),
  ),
};

it.each(Object.entries(admitted))("Envoy accepts %s", async (_what, fields) => {
  expect(await isAccepted(fields, "a".repeat(63).concat(".").repeat(3).concat("b".repeat(61)))).toBe(true);
});

it("Envoy refuses what the schema refuses", async () => {
  expect(await isAccepted({ alpn_protocols: ["a".repeat(256)] }, "web")).toBe(false);
  expect(await isAccepted({ tls_params: { ecdh_curves: ["secp256k1"] } }, "web")).toBe(false);
  expect(await isAccepted({ tls_params: { cipher_suites: ["NULL-SHA"] } }, "web")).toBe(false);
});

/** Names and rules of BoringSSL, known and unknown. */
const lists = {
  ecdh_curves: [
    ...[...ecdhCurves, "P-224", "prime256v1", "secp384r1", "x25519", "CECPQ2", "X25519Kyber768Draft00"],
    ...["MLKEM1024", "p-256", " P-256", "P-256:P-384", "P-256:x", ""],
  ],
  cipher_suites: [
    ...["DES-CBC3-SHA", "ECDHE-RSA-AES128-SHA256", "ALL", "HIGH", "ECDHE+AESGCM", "ECDHE+x", "AES256-SHA256"],
    ...["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "PSK-AES128-CBC-SHA", "NULL-SHA"],
    ...[
      "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
      "AES128-SHA:AES256-SHA",
      " AES128-SHA",
    ],
    ...["AES128-SHA,AES256-SHA", "DEFAULT", "FIPS", "kRSA", "ecdhe-rsa-aes128-sha", "RC4", "nonsense", ""],
  ],
};

it.each(Object.entries(lists))("The doctor judges %s as Envoy does", async (field, names) => {
  for (const name of names) {
    const isRefused = fieldProblems({ [field]: [name] }, true).some((one) => one.isRefused);
    const isTaken = await isAccepted({ tls_params: { [field]: [name] } }, "web");
    expect({ name, isTaken }).toEqual({ name, isTaken: !isRefused });
  }
});

it("The doctor judges alpn_protocols and sni as Envoy does", async () => {
  for (const alpn_protocols of ["h2", "h2,", ",", "h2,,x", " h2 , http/1.1 ", "a".repeat(256)]) {
    const isRefused = fieldProblems({ alpn_protocols }, true).some((one) => one.isRefused);
    const isTaken = await isAccepted({ alpn_protocols: [alpn_protocols] }, "web");
    expect({ alpn_protocols, isTaken }).toEqual({ alpn_protocols, isTaken: !isRefused });
  }
  for (const sni of ["web", "a".repeat(255), "a".repeat(256), "a\nb", "a\0b", "é".repeat(128)]) {
    const isRefused = fieldProblems({ sni }, true).some((one) => one.isRefused);
    expect({ sni, isTaken: await isAccepted({}, sni) }).toEqual({ sni, isTaken: !isRefused });
  }
});

async function isAccepted(common: object, sni: string): Promise<boolean> {
  const file = join(folder, "envoy.json");
  const typed = {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    sni,
    common_tls_context: common,
  };
  const transport = { name: "envoy.transport_sockets.tls", typed_config: typed };
  const clusters = [{ name: "c", type: "STATIC", transport_socket: transport }];
  await writeFile(file, JSON.stringify({ static_resources: { clusters } }));
  const options = ["--mode", "validate", "-c", file, "--log-level", "off", "--disable-hot-restart"];
  return spawnSync(envoy, options, { timeout: 60_000 }).status === 0;
}
