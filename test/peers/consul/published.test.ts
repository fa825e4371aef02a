import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { stringify } from "yaml";
import { readContext } from "../../../src/demo/published.ts";
import { type Running, start } from "../../fixtures/cli.ts";
import { type ClientPems, echoByNode, echoByOpenssl, line } from "../mtls.ts";
import { createToken } from "./acl.ts";
import { type ConsulAgent, startConsul } from "./agent.ts";
import { rotateRoot } from "./root.ts";
import { allow, type Sidecar, startSidecar } from "./sidecar.ts";

let folder: string;
let consul: ConsulAgent;
let sidecar: Sidecar;
let attache: Running;

/** attaché as a user runs it: settings, a token file, a MeshIdentity, and nothing but files coming out. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-published-"));
  consul = await startConsul({ folder, acl: true });
  sidecar = await startSidecar(consul, "web");
  await allow(consul, "edge", "web");
  const write = (name: string, text: string) => writeFile(join(folder, name), text, { mode: 0o600 });
  await write("token", await createToken(consul, "write", ["edge"]));
  await write(
    "attache.yaml",
    stringify({
      meshes: {
        consul: {
          adapter: "consul",
          mode: "http",
          address: consul.address,
          tokenFile: join(folder, "token"),
        },
      },
      store: { directory: { path: "published", identities: ["edge.yaml"], pem: true } },
      server: { enabled: false },
    }),
  );
  await write(
    "edge.yaml",
    stringify({
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshIdentity",
      metadata: { name: "edge", namespace: "emissary" },
      spec: { consul: { service: "edge" } },
    }),
  );
  attache = start(["run", "--config", join(folder, "attache.yaml")]);
  await vi.waitFor(async () => expect(await published()).toBeDefined(), 30_000);
});

afterAll(async () => {
  await attache[Symbol.asyncDispose]();
  await sidecar[Symbol.asyncDispose]();
  await consul[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const web = "spiffe://*/ns/default/dc/dc1/svc/web";

/** What the TLSContext and its Secrets hold; nothing until all are there. */
async function published(): Promise<ClientPems | undefined> {
  const context = await readContext(join(folder, "published", "emissary"), "edge").catch(() => undefined);
  return context && { key: context.key, chain: context.cert, roots: context.ca };
}

async function pemSet(): Promise<ClientPems> {
  const read = (name: string) =>
    readFile(join(folder, "published", "emissary", "pem-edge", "current", name), "utf8");
  return { key: await read("tls.key"), chain: await read("tls.crt"), roots: await read("ca.crt") };
}

describe("the files that attaché publishes from a real Consul", () => {
  it.each([
    ["TLS in Node", echoByNode],
    ["openssl s_client", echoByOpenssl],
  ])("let %s through a real sidecar", async (_, echo) => {
    expect(await echo(sidecar.port, (await published()) ?? (await pemSet()), web)).toBe(line);
    expect(await echo(sidecar.port, await pemSet(), web)).toBe(line);
  });

  it("fail no request of 20 a second through a real rotation of the root", async () => {
    const before = await published();
    const failures: unknown[] = [];
    const inFlight: Promise<void>[] = [];
    const over = new AbortController();
    const traffic = (async () => {
      while (!over.signal.aborted) {
        inFlight.push(
          published()
            .then((pems) => echoByNode(sidecar.port, pems ?? { key: "", chain: "", roots: "" }, web))
            .then((answer) => expect(answer).toBe(line))
            .catch((error: unknown) => void failures.push(error)),
        );
        await setTimeout(50);
      }
    })();
    await rotateRoot(consul, "72h");
    // Consul's agent takes a random time of up to half a minute for the new leaf.
    await expect.poll(published, { timeout: 60_000 }).not.toMatchObject({ chain: before?.chain });
    const later = inFlight.length + 20;
    await expect.poll(() => inFlight.length, { timeout: 30_000 }).toBeGreaterThan(later);
    over.abort();
    await traffic;
    await Promise.all(inFlight);
    expect(failures).toEqual([]);
    expect((await published())?.roots.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  });
});
