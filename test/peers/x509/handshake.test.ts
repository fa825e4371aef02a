import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { privateKeyPem } from "../../../src/credentials/keys.ts";
import { handMadeLeaf, handMadeRoot, leafExtensions } from "../../fixtures/der.ts";
import { mutant, seeded } from "../../fixtures/der-mutants.ts";
import { judge, type Judgement } from "../../fixtures/judge.ts";
import {
  judgedCredentials,
  type JudgedCredential,
  stricterRules,
} from "../../fixtures/judged-credentials.ts";
import { oddCertificates, oddIssuer } from "../../fixtures/odd-certificates.ts";
import { createLeaf, createRoot } from "../../fixtures/pki.ts";
import { encodePem } from "../../../src/credentials/pem.ts";
import { buildPeer } from "../build.ts";
import { startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";

type Given = Pick<JudgedCredential, "what" | "key" | "chain" | "bundle">;
type Pems = NonNullable<Judgement["published"]>;

describe(
  "what is published, in handshakes of the real Envoy, and beside Go and openssl",
  { timeout: 600_000 },
  () => {
    let folder: string;
    let envoy: string;
    let go: string;
    let server: Pems;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "attache-handshake-"));
      envoy = `${await buildPeer("envoy")}/envoy`;
      go = `${await buildPeer("x509")}/x509-judge`;
      const root = await createRoot();
      const leaf = await createLeaf(root);
      server = { key: leaf.keyPem, chain: leaf.pem, bundle: root.pem };
    });
    afterAll(() => rm(folder, { recursive: true }));

    it("is accepted wherever attaché admits it: credentials of all kinds, and odd certificates", async () => {
      await expectAgreement([...(await judgedCredentials()), ...oddCredentials()]);
    });

    it("is accepted wherever attaché admits it: 60 random mutants of a leaf and a root", async () => {
      const seed = Number(process.env["ATTACHE_SEED"] ?? randomInt(2 ** 31));
      process.stderr.write(`ATTACHE_SEED=${seed}\n`);
      await expectAgreement(mutants(60, seeded(seed)));
    });

    it("would be accepted by all three where a stricter rule rejects it: else the rule is none", async () => {
      const rules = await stricterRules();
      const accepted = await acceptedByAll(rules);
      expect(rules.filter((rule) => !accepted.has(rule)).map(({ what }) => what)).toEqual([]);
    });

    /** Nothing is admitted that Envoy refuses, and nothing rejected that all three accept. */
    async function expectAgreement(all: readonly Given[]): Promise<void> {
      const judged = all.map((given) => ({ given, ...judge(given) }));
      const admitted = judged.flatMap(({ given, published }) =>
        published === undefined ? [] : [{ given, published }],
      );
      expect(admitted.length).toBeGreaterThan(0);
      const shaken = await handshakes(admitted.map(({ published }) => published));
      expect(admitted.filter((_, index) => shaken[index] !== 200).map(({ given }) => given.what)).toEqual([]);
      const rejected = judged.filter(({ verdict }) => verdict === "rejected");
      const accepted = await acceptedByAll(rejected.map(({ given }) => given));
      const stricter = (await stricterRules()).map(({ because }) => because);
      expect(
        rejected
          .filter(({ given, because }) => accepted.has(given) && !stricter.some((rule) => rule.test(because)))
          .map(({ given, because }) => `${given.what}: ${because}`),
      ).toEqual([]);
    }

    /** Those that go through as the mesh sent them. */
    async function acceptedByAll<T extends Given>(all: readonly T[]): Promise<Set<T>> {
      const pems = (given: T): Pems => {
        return { key: privateKeyPem(given.key), chain: given.chain.join(""), bundle: given.bundle.join("") };
      };
      const byGo = judgedByGo(all.map(pems));
      const candidates: T[] = [];
      for (const [index, given] of all.entries()) {
        if (byGo[index] !== "ok" || !(await isVerifiedByOpenssl(pems(given)))) continue;
        if (await isConfigurable([pems(given)])) candidates.push(given);
      }
      const shaken = await handshakes(candidates.map(pems));
      return new Set(candidates.filter((_, index) => shaken[index] === 200));
    }

    function judgedByGo(all: readonly Pems[]): string[] {
      const input = all.map((pems) => JSON.stringify(pems)).join("\n");
      return spawnSync(go, ["credentials"], { input, encoding: "utf8" }).stdout.trimEnd().split("\n");
    }

    async function isVerifiedByOpenssl({ chain, bundle }: Pems): Promise<boolean> {
      await Promise.all([writeFile(join(folder, "chain"), chain), writeFile(join(folder, "bundle"), bundle)]);
      const args = ["verify", "-purpose", "sslclient", "-partial_chain", "-no-CApath", "-no-CAstore"];
      const files = ["-CAfile", "bundle", "-untrusted", "chain", "chain"];
      return spawnSync("openssl", [...args, ...files], { cwd: folder }).status === 0;
    }

    async function isConfigurable(all: readonly Pems[]): Promise<boolean> {
      const file = join(folder, "validated.json");
      await writeFile(file, JSON.stringify(configuration(all, server, [])));
      const options = ["--mode", "validate", "-c", file, "--log-level", "off", "--disable-hot-restart"];
      return spawnSync(envoy, options, { timeout: 60_000 }).status === 0;
    }

    /** The status of one request over each: an Envoy with it as client, another listener that demands it. */
    async function handshakes(all: readonly Pems[]): Promise<(number | undefined)[]> {
      if (all.length === 0) return [];
      const ports = await freePorts(2 * all.length);
      const file = join(folder, "run.json");
      await writeFile(file, JSON.stringify(configuration(all, server, ports)));
      const options = ["-c", file, "--log-level", "off", "--disable-hot-restart", "--concurrency", "1"];
      await using running = startGuarded(envoy, options);
      await running.until(async () => (await statusOf(ports[0])) !== undefined, "the first listener");
      const statuses: (number | undefined)[] = [];
      for (const index of all.keys()) statuses.push(await statusOf(ports[2 * index]));
      return statuses;
    }
  },
);

function statusOf(port: number | undefined): Promise<number | undefined> {
  return new Promise((resolve) => {
    const sent = request({ host: "127.0.0.1", port, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on("error", () => resolve(undefined));
    sent.end();
  });
}

/** Each odd leaf under its root, each odd root beside another one. */
function oddCredentials(): Given[] {
  const plain = handMadeLeaf(oddIssuer);
  return oddCertificates.map(({ what, role, made }) => {
    return role === "leaf"
      ? { what: `a leaf with ${what}`, key: made.key, chain: [made.pem], bundle: [oddIssuer.pem] }
      : {
          what: `a root with ${what}`,
          key: plain.key,
          chain: [plain.pem],
          bundle: [oddIssuer.pem, made.pem],
        };
  });
}

function mutants(count: number, draw: (below: number) => number): Given[] {
  const root = handMadeRoot();
  const leaf = handMadeLeaf(root, { extensions: Object.values(leafExtensions) });
  return Array.from({ length: count }, (_, index) => {
    const isLeaf = draw(2) === 0;
    const pem = encodePem("CERTIFICATE", mutant(isLeaf ? leaf.der : root.der, draw));
    return isLeaf
      ? { what: `mutant ${index}: ${pem}`, key: leaf.key, chain: [pem], bundle: [root.pem] }
      : { what: `mutant ${index}: ${pem}`, key: leaf.key, chain: [leaf.pem], bundle: [root.pem, pem] };
  });
}

const tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
const filters = "type.googleapis.com/envoy.extensions.filters";

/**
 * For each: a listener that sends over it to another one, which demands a client certificate and trusts what
 * is published.
 */
function configuration(all: readonly Pems[], server: Pems, ports: readonly number[]): unknown {
  const inline = (text: string) => ({ inline_string: text });
  const context = ({ key, chain }: Pems, trusted: string) => ({
    tls_certificates: [{ certificate_chain: inline(chain), private_key: inline(key) }],
    validation_context: { trusted_ca: inline(trusted) },
  });
  const address = (port = 1) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
  const listener = (port: number | undefined, route: object, socket?: object) => ({
    name: `on ${port}`,
    address: address(port),
    filter_chains: [
      {
        ...(socket && { transport_socket: { name: "tls", typed_config: socket } }),
        filters: [
          {
            name: "http",
            typed_config: {
              "@type": `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: "http",
              route_config: {
                virtual_hosts: [
                  { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, ...route }] },
                ],
              },
              http_filters: [
                { name: "router", typed_config: { "@type": `${filters}.http.router.v3.Router` } },
              ],
            },
          },
        ],
      },
    ],
  });
  const listeners = all.flatMap((pems, index) => {
    const [near, far] = ports.slice(2 * index);
    if (near === undefined || far === undefined) return [];
    return [
      listener(near, { route: { cluster: `c${index}` } }),
      listener(
        far,
        { direct_response: { status: 200 } },
        {
          "@type": `${tls}.DownstreamTlsContext`,
          require_client_certificate: true,
          common_tls_context: context(server, pems.bundle),
        },
      ),
    ];
  });
  const clusters = all.map((pems, index) => ({
    name: `c${index}`,
    type: "STATIC",
    load_assignment: {
      cluster_name: `c${index}`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(ports[2 * index + 1]) } }] }],
    },
    transport_socket: {
      name: "tls",
      typed_config: {
        "@type": `${tls}.UpstreamTlsContext`,
        common_tls_context: context(pems, pems.bundle + server.bundle),
      },
    },
  }));
  return { node: { id: "handshake", cluster: "handshake" }, static_resources: { listeners, clusters } };
}
