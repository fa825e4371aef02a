import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse, stringify } from "yaml";
import type { Status } from "../../../src/api/mesh-certificate.ts";
import { parseCertificates } from "../../../src/mesh/adapter.ts";
import { type Running, start } from "../../fixtures/cli.ts";
import { type ClientPems, echoByNode, echoByOpenssl, line } from "../mtls.ts";
import { readPemSet } from "../pem-set.ts";
import { startTraffic, type Traffic } from "../traffic.ts";
import { activateRoot, prepareRoot, revokeOldRoot, taintOldRoot } from "./authority.ts";
import { type CreatedEntry, type Spire, startSpire } from "./spire.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

const edge = {
  id: "spiffe://example.org/edge",
  /** SPIRE dates back by 10 s and renews at half of the whole: every 10 s, with 18 s at least to go. */
  ttl: 30,
};

let folder: string;
let spire: Spire;
let entry: CreatedEntry;
let upstream: Upstream;
let attache: Running;

/** All the while. */
let traffic: Traffic;

/** attaché as a user runs it, its upstream, and requests without a pause. */
beforeAll(async () => {
  spire = await startSpire();
  entry = await spire.createEntry(edge);
  upstream = await startUpstream(spire, "web");
  folder = await mkdtemp(join(tmpdir(), "attache-published-"));
  await writeFile(
    join(folder, "attache.yaml"),
    stringify({
      meshes: { spiffe: { adapter: "spiffe", endpointSocket: spire.endpointSocket } },
      store: { directory: { path: "published", identities: ["edge.yaml"], pem: true } },
      server: { enabled: false },
    }),
  );
  await writeFile(
    join(folder, "edge.yaml"),
    stringify({
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name: "edge", namespace: "emissary" },
      spec: { spiffe: {} },
    }),
  );
  attache = start(["run", "--config", join(folder, "attache.yaml")]);
  await vi.waitFor(pems, 30_000);
  traffic = startTraffic(() => [request()]);
});

afterAll(async () => {
  await traffic[Symbol.asyncDispose]();
  await attache[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
  await spire[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const pems = () => readPemSet(join(folder, "published"), "emissary", "edge");
const rootsOf = ({ roots }: ClientPems) => parseCertificates(roots).map(({ fingerprint }) => fingerprint);
const leafOf = ({ chain }: ClientPems) => parseCertificates(chain)[0]?.serialNumber;

async function request(): Promise<void> {
  expect(await echoByNode(upstream.port, await pems(), upstream.id)).toBe(line);
}

/** The condition SourceReady, as `attache status` prints it. */
async function source() {
  const text = await readFile(join(folder, "published", "status", "emissary", "edge.yaml"), "utf8");
  const { conditions } = (parse(text) as { readonly status: Status }).status;
  return conditions.find(({ type }) => type === "SourceReady");
}

const slow = { timeout: 30_000 };

/** Resolves with the leaf that is published in the place of `before`. */
async function nextLeaf(before: string | undefined): Promise<string | undefined> {
  await expect.poll(async () => leafOf(await pems()), slow).not.toBe(before);
  return leafOf(await pems());
}

describe("what attaché publishes from a real SPIRE lets every request through", () => {
  it.each([
    ["TLS in Node", echoByNode],
    ["openssl s_client", echoByOpenssl],
  ])("by %s", async (_, echo) => {
    expect(await echo(upstream.port, await pems(), upstream.id)).toBe(line);
  });

  it("while SVIDs of half a minute are renewed", async () => {
    const first = leafOf(await pems());
    const second = await nextLeaf(first);
    await nextLeaf(second);
    traffic.assertNoneFailed();
  });

  it("while SPIRE's CA is replaced", async () => {
    const [old] = rootsOf(await pems());
    await prepareRoot(spire);
    await expect.poll(async () => rootsOf(await pems()), slow).toHaveLength(2);
    await upstream.renew();
    await activateRoot(spire);
    const before = leafOf(await pems());
    await taintOldRoot(spire);
    await nextLeaf(before);
    await upstream.renew();
    await revokeOldRoot(spire);
    await expect.poll(async () => rootsOf(await pems()), slow).not.toContain(old);
    expect(rootsOf(await pems())).toHaveLength(1);
    await upstream.renew();
    traffic.assertNoneFailed();
  });

  it("while the entry is deleted and created again, which is said meanwhile", async () => {
    const before = leafOf(await pems());
    await entry.delete();
    await expect.poll(source, slow).toMatchObject({ status: "False", reason: "Forbidden" });
    expect(leafOf(await pems())).toBe(before);
    entry = await spire.createEntry(edge);
    await nextLeaf(before);
    await expect.poll(source, slow).toMatchObject({ status: "True" });
    traffic.assertNoneFailed();
  });

  it("while the server is restarted, of which attaché hears nothing", async () => {
    await spire.stopServer();
    await spire.startServer();
    await nextLeaf(leafOf(await pems()));
    expect(await source()).toMatchObject({ status: "True" });
    traffic.assertNoneFailed();
  });

  it("while the agent is unreachable for longer than any pause of attaché, which then finds it by itself", async () => {
    const before = await nextLeaf(leafOf(await pems()));
    await spire.stopAgent();
    await expect.poll(source, slow).toMatchObject({ status: "False", reason: "Unreachable" });
    await setTimeout(11_000);
    expect(leafOf(await pems())).toBe(before);
    await spire.startAgent();
    await expect.poll(source, slow).toMatchObject({ status: "True" });
    await nextLeaf(before);
    traffic.assertNoneFailed();
  });
});
