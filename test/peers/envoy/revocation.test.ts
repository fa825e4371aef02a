import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseCrls } from "../../../src/credentials/crl.ts";
import { revocationOf } from "../../../src/credentials/revocation.ts";
import { createCrl, crlEntry, type CrlTerms } from "../../fixtures/crl.ts";
import { extension, sequence, tlv } from "../../fixtures/der.ts";
import { mutant, seeded } from "../../fixtures/der-mutants.ts";
import { createIntermediate, createLeaf, createRoot, type Issued } from "../../fixtures/pki.ts";
import { buildPeer } from "../build.ts";
import { startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";

let folder: string;
let envoy: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-revocation-"));
  envoy = `${await buildPeer("envoy")}/envoy`;
});
afterAll(() => rm(folder, { recursive: true }));

const hour = 3_600_000;
const at = (ms: number) => new Date(Date.now() + ms);
const current: CrlTerms = { thisUpdate: at(-hour), nextUpdate: at(hour) };

/** An upstream, the roots that Envoy trusts, and the lists that the mesh sends. */
interface Setup {
  readonly server: readonly [leaf: Issued, ...intermediates: Issued[]];
  readonly roots: readonly Issued[];
  readonly crls: readonly Buffer[];
}

describe("the real Envoy, with revocation lists that attaché publishes", { timeout: 120_000 }, () => {
  it("refuses a revoked upstream, and accepts the others", async () => {
    const root = await createRoot();
    const other = await createRoot();
    const intermediate = await createIntermediate(root);
    const [good, revoked] = [await createLeaf(root), await createLeaf(root)];
    const [below, revokedBelow] = [await createLeaf(intermediate), await createLeaf(intermediate)];
    const lists = [
      createCrl(root, { ...current, revoked: [revoked.certificate] }),
      createCrl(intermediate, { ...current, revoked: [revokedBelow.certificate] }),
      createCrl(other, current),
    ];
    const roots = [root, other];
    expect(
      await answers([
        { server: [good], roots, crls: lists },
        { server: [revoked], roots, crls: lists },
        { server: [below, intermediate], roots, crls: lists },
        { server: [revokedBelow, intermediate], roots, crls: lists },
        { server: [await createLeaf(other)], roots, crls: lists },
      ]),
    ).toEqual([200, 503, 200, 503, 200]);
  });

  it("would refuse good upstreams wherever attaché does not let it check", async () => {
    const [root, other] = [await createRoot(), await createRoot()];
    const intermediate = await createIntermediate(root);
    const [leaf, below] = [await createLeaf(root), await createLeaf(intermediate)];
    const ended = createCrl(root, { ...current, nextUpdate: at(-1_000) });
    const future = createCrl(root, { ...current, thisUpdate: at(hour / 2) });
    const setups: readonly Setup[] = [
      { server: [await createLeaf(other)], roots: [root, other], crls: [createCrl(root, current)] },
      { server: [below, intermediate], roots: [root], crls: [createCrl(root, current)] },
      { server: [leaf], roots: [root], crls: [ended] },
      { server: [leaf], roots: [root], crls: [future] },
      { server: [below], roots: [intermediate], crls: [createCrl(intermediate, current)] },
    ];
    for (const setup of setups) expect(verdictOn(setup)).toMatch(/^Not(Covered|Current)$/);
    expect(await answers(setups)).toEqual(setups.map(() => 503));
  });

  it("reads every list that attaché reads, and as it does", async () => {
    const root = await createRoot();
    const leaf = await createLeaf(root);
    const reason = extension("2.5.29.21", tlv(0x0a, Buffer.of(1)));
    const forms: readonly CrlTerms[] = [
      { version: null, hasKeyId: false },
      { extensions: [] },
      { hasKeyId: false },
      { extensions: [extension("1.2.3.4", sequence())] },
      { nextUpdate: new Date("2060-01-01T00:00:00Z") },
      { entries: [crlEntry(Buffer.of(1), reason)] },
      { entries: [crlEntry(Buffer.of(1)), crlEntry(Buffer.of(1))] },
      { entries: [crlEntry(Buffer.of(0xff)), crlEntry(Buffer.alloc(30, 1)), crlEntry(Buffer.of(0))] },
    ];
    const lists = forms.map((terms) => createCrl(root, { ...current, ...terms }));
    const setups = lists.map((list) => ({ server: [leaf] as const, roots: [root], crls: [list] }));
    expect(setups.map(verdictOn)).toEqual(setups.map(() => "Checked"));
    expect(await answers(setups)).toEqual(setups.map(() => 200));
  });

  it("reads every mutant of a list that attaché reads", async () => {
    const seed = Number(process.env["ATTACHE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    process.stderr.write(`ATTACHE_SEED=${seed}\n`);
    const draw = seeded(seed);
    const root = await createRoot();
    const reason = extension("2.5.29.21", tlv(0x0a, Buffer.of(1)));
    const list = createCrl(root, { ...current, entries: [crlEntry(Buffer.of(7), reason)] });
    const mutants = Array.from({ length: 3_000 }, () => parseCrls(mutant(list, draw)).lists).flat();
    // attaché publishes a list only of a CA whose name stands in it to the byte.
    const named = mutants.filter(({ der }) => der.includes(root.certificate.subjectDer));
    expect(named.length).toBeGreaterThan(20);
    const pem = named.map((one) => one.toPem()).join("");
    expect({ isTaken: await isAccepted(root.pem, pem), pem }).toEqual({ isTaken: true, pem });
  });
});

function verdictOn({ server, roots, crls }: Setup): string {
  const [leaf, ...intermediates] = server.map(({ certificate }) => certificate);
  const { problem } = revocationOf({
    offered: parseCrls(...crls),
    published: [],
    chain: [leaf ?? expect.fail(), ...intermediates],
    bundle: roots.map(({ certificate }) => certificate),
    now: new Date(),
    clockSkewMs: 60_000,
    secretBytes: 1024 * 1024,
  });
  return problem?.reason ?? "Checked";
}

/** The status of a request to each upstream through one Envoy. */
async function answers(setups: readonly Setup[]): Promise<(number | undefined)[]> {
  const servers = setups.map(({ server: [leaf, ...intermediates] }) => {
    const cert = [leaf, ...intermediates].map(({ pem }) => pem).join("");
    return createServer({ key: leaf.keyPem, cert }, (_, response) => response.end());
  });
  await Promise.all(servers.map((server) => once(server.listen(0, "127.0.0.1"), "listening")));
  try {
    const ports = await freePorts(setups.length);
    const file = join(folder, "run.json");
    const upstreams = servers.map((server) => (server.address() as AddressInfo).port);
    const clusters = setups.map(({ roots, crls }, index) =>
      cluster(index, upstreams[index], pemOf(roots), pemOfLists(crls)),
    );
    const listeners = ports.map(listener);
    await writeFile(file, JSON.stringify({ static_resources: { listeners, clusters } }));
    const options = ["-c", file, "--log-level", "off", "--disable-hot-restart", "--concurrency", "1"];
    await using running = startGuarded(envoy, options);
    await running.until(async () => (await statusOf(ports[0])) !== undefined, "the first listener");
    const statuses: (number | undefined)[] = [];
    for (const port of ports) statuses.push(await statusOf(port));
    return statuses;
  } finally {
    for (const server of servers) server.close();
  }
}

async function isAccepted(trusted: string, crls: string): Promise<boolean> {
  const file = join(folder, "validated.json");
  await writeFile(file, JSON.stringify({ static_resources: { clusters: [cluster(0, 1, trusted, crls)] } }));
  const options = ["--mode", "validate", "-c", file, "--log-level", "off", "--disable-hot-restart"];
  return spawnSync(envoy, options, { timeout: 60_000 }).status === 0;
}

function pemOf(all: readonly Issued[]): string {
  return all.map(({ pem }) => pem).join("");
}

function pemOfLists(crls: readonly Buffer[]): string {
  const { lists, problems } = parseCrls(...crls);
  expect(problems).toEqual([]);
  return lists.map((list) => list.toPem()).join("");
}

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

const address = (port = 1) => ({ socket_address: { address: "127.0.0.1", port_value: port } });
const filters = "type.googleapis.com/envoy.extensions.filters";

/** As Emissary writes `ca_secret` and `crl_secret`. */
function cluster(index: number, port: number | undefined, trusted: string, crls: string): object {
  return {
    name: `c${index}`,
    type: "STATIC",
    load_assignment: {
      cluster_name: `c${index}`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
    transport_socket: {
      name: "tls",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context: {
          validation_context: { trusted_ca: { inline_string: trusted }, crl: { inline_string: crls } },
        },
      },
    },
  };
}

function listener(port: number, index: number): object {
  const routes = [{ match: { prefix: "/" }, route: { cluster: `c${index}` } }];
  const typed_config = {
    "@type": `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "http",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    http_filters: [{ name: "router", typed_config: { "@type": `${filters}.http.router.v3.Router` } }],
  };
  return {
    name: `on ${port}`,
    address: address(port),
    filter_chains: [{ filters: [{ name: "http", typed_config }] }],
  };
}
