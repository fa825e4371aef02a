import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Credential } from "../../../src/mesh/adapter.ts";
import { asUnprivileged } from "../../../test/fixtures/as-unprivileged.ts";
import { createLeaf, createRoot, type Issued } from "../../../test/fixtures/pki.ts";
import { watchMesh } from "../../../test/fixtures/watched-mesh.ts";
import { adapter } from "../index.ts";
import { graceMs } from "./source.ts";

const root = await createRoot({ subject: "CN=root" });
const otherRoot = await createRoot({ subject: "CN=other root" });
const uri = "spiffe://cluster.local/ns/emissary/sa/edge";
const day = { notBefore: new Date("2026-01-01T00:00:00Z"), notAfter: new Date("2026-01-02T00:00:00Z") };
const first = await createLeaf(root, { uris: [uri], ...day });
const second = await createLeaf(otherRoot, { uris: [uri], ...day });

describe("the files of an Istio agent", () => {
  it("give a credential: leaf first, and without the roots that Istio puts at the end", async () => {
    await using files = await setUp();
    await files.write(first, root);
    await using world = await files.watch();
    const { chain, bundle } = await world.next();
    expect([chain, bundle]).toEqual([[first.certificate], [root.certificate]]);
    expect(world.states.at(-1)).toEqual({ connected: true });
  });

  it("give nothing while they are of two sets, in whatever order they are written", async () => {
    await using files = await setUp();
    await files.write(first, root);
    await using world = await files.watch();
    await world.next();
    for (const write of [files.writeRoots, files.writeChain, files.writeKey]) {
      await write(second, otherRoot);
      await world.clock.advance(1000);
      for (const credential of world.seen) expect(isOf(credential, first)).toBe(true);
    }
    await world.passUntil(() => world.seen.some((credential) => isOf(credential, second)));
    expect(world.seen.at(-1)?.bundle).toEqual([otherRoot.certificate]);
  });

  it.each([
    ["the folder", "link", "link"],
    ["a link inside of it, as Kubernetes does", "link/..data", "link"],
  ])("are followed when %s is swapped", async (_, link, directory) => {
    await using files = await setUp(directory);
    await files.write(first, root, "v1");
    await files.write(second, otherRoot, "v2");
    if (link !== directory) {
      await mkdir(files.path("link"));
      for (const name of names) await symlink(`..data/${name}`, files.path(`link/${name}`));
    }
    await symlink(files.path("v1"), files.path(link));
    await using world = await files.watch();
    expect(isOf(await world.next(), first)).toBe(true);
    await symlink(files.path("v2"), files.path("new"));
    await rename(files.path("new"), files.path(link));
    expect(isOf(await world.next(), second)).toBe(true);
    expect(world.seen).toHaveLength(2);
  });

  it("that make no set are reported after a while; the last credential stays", async () => {
    await using files = await setUp();
    await files.write(first, root);
    await using world = await files.watch();
    await world.next();
    await files.writeKey(second);
    await world.clock.advance(graceMs - 500);
    expect(world.states).toHaveLength(1);
    await world.passUntil(() => world.states.length === 2);
    expect(world.lastError()).toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      problem: "the agent's files do not make a set: the private key belongs to none of the certificates",
    });
    expect(world.seen).toHaveLength(1);
    await files.writeKey(first);
    await world.passUntil(() => world.states.at(-1)?.connected === true);
  });

  it("that are not renewed are reported when three quarters of the leaf's life are over", async () => {
    await using files = await setUp();
    await files.write(first, root);
    await using world = await files.watch();
    await world.next();
    world.clock.set(new Date("2026-01-01T18:00:00Z"));
    await world.passUntil(() => world.states.length === 2);
    expect(world.lastError()).toMatchObject({
      code: "ATTACHE_MESH_TIMEOUT",
      problem: "the agent has not renewed the certificate that expires at 2026-01-02T00:00:00.000Z",
      remedy: expect.stringContaining("only while an SDS client is connected") as string,
    });
  });

  it("are waited for, and it is said how to get them", async () => {
    await using files = await setUp();
    await using world = await files.watch();
    await world.passUntil(() => world.states.length > 0);
    expect(world.lastError()).toMatchObject({
      code: "ATTACHE_MESH_UNREACHABLE",
      problem: expect.stringContaining("cannot be read (ENOENT)") as string,
      remedy: expect.stringContaining("OUTPUT_CERTS") as string,
    });
    await files.write(first, root);
    await world.next();
  });

  it("are not read beyond what a Secret can hold", async () => {
    await using files = await setUp();
    await files.write(first, root);
    await writeFile(files.path("certs/cert-chain.pem"), Buffer.alloc(1024 * 1024 + 1));
    await using world = await files.watch();
    await world.passUntil(() => world.states.length > 0);
    expect(world.lastError()).toMatchObject({ code: "ATTACHE_MESH_MALFORMED" });
  });

  it("may be closed to attaché's user, which is reported", async () => {
    await using files = await setUp();
    await files.write(first, root);
    await using world = await files.watch();
    expect(await asUnprivileged(() => world.mesh.check())).toMatchObject([
      {
        message: expect.stringMatching(/^attaché may not read .*\.pem$/) as string,
        remedy: expect.stringMatching(/^Let user \d+ read it/) as string,
      },
    ]);
  });
});

describe("a check of the files", () => {
  it("says what they hold", async () => {
    await using files = await setUp();
    await files.write(first, root);
    await using world = await files.watch();
    expect(await world.mesh.check()).toEqual([
      { name: "files", status: "ok", message: expect.stringContaining("were read in") as string },
      { name: "identity", status: "ok", message: uri },
      { name: "certificate", status: "ok", message: "valid until 2026-01-02T00:00:00.000Z" },
      { name: "trust bundle", status: "ok", message: "roots: 1" },
    ]);
  });

  it("says what is wrong with them", async () => {
    await using files = await setUp();
    await using world = await files.watch();
    expect(await world.mesh.check()).toMatchObject([{ name: "files", status: "failed" }]);
    await files.write(first, otherRoot);
    expect(await world.mesh.check()).toMatchObject([
      { status: "ok" },
      { status: "ok" },
      { status: "ok" },
      { name: "trust bundle", status: "failed" },
    ]);
    await files.writeKey(second);
    expect(await world.mesh.check()).toMatchObject([{ name: "files", status: "failed" }]);
  });
});

const names = ["key.pem", "cert-chain.pem", "root-cert.pem"];

async function setUp(directory = "certs") {
  const folder = await mkdtemp(join(tmpdir(), "attache-"));
  const path = (name: string) => join(folder, name);
  const put = async (name: string, text: string, to: string) => {
    await mkdir(path(to), { recursive: true });
    await writeFile(path(`${to}/.tmp`), text);
    await rename(path(`${to}/.tmp`), path(`${to}/${name}`));
  };
  const writeKey = ({ keyPem }: Issued, _issuer = root, to = directory) => put("key.pem", keyPem, to);
  const writeChain = ({ pem }: Issued, issuer = root, to = directory) =>
    put("cert-chain.pem", pem + issuer.pem, to);
  const writeRoots = (_leaf: Issued, issuer = root, to = directory) => put("root-cert.pem", issuer.pem, to);
  return {
    ...{ path, writeKey, writeChain, writeRoots },
    watch: () => watchMesh(adapter, { mode: "files", directory: path(directory) }),
    async write(leaf: Issued, issuer: Issued, to = directory) {
      await writeKey(leaf, issuer, to);
      await writeChain(leaf, issuer, to);
      await writeRoots(leaf, issuer, to);
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

/** Whether key and chain are those of the leaf. */
function isOf({ key, chain }: Credential, leaf: Issued): boolean {
  return key.equals(leaf.key) && chain[0].fingerprint === leaf.certificate.fingerprint;
}
