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
import { allow, forbid, type Sidecar, startSidecar } from "./sidecar.ts";

let folder: string;
let consul: ConsulAgent;
let sidecar: Sidecar;
let attache: Running;

const modes = ["grpc", "http"] as const;
type Mode = (typeof modes)[number];

/** attaché as a user runs it: settings, a token file, MeshCertificates, and nothing but files coming out. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-published-"));
  consul = await startConsul({ folder, acl: true });
  // Consul's agent would take longer for a new leaf, and attaché a random time of up to a tenth of its life.
  await rotateRoot(consul, "10m");
  sidecar = await startSidecar(consul, "web");
  for (const mode of modes) await allow(consul, mode, "web");
  const write = (name: string, text: string) => writeFile(join(folder, name), text, { mode: 0o600 });
  await write("token", await createToken(consul, "write", modes));
  const tokenFile = join(folder, "token");
  await write(
    "attache.yaml",
    stringify({
      meshes: {
        grpc: { adapter: "consul", addresses: [`http://127.0.0.1:${consul.grpcPort}`], tokenFile },
        http: { adapter: "consul", mode: "http", address: consul.address, tokenFile },
      },
      store: { directory: { path: "published", identities: modes.map((mode) => `${mode}.yaml`), pem: true } },
      server: { enabled: false },
    }),
  );
  for (const mode of modes) {
    await write(
      `${mode}.yaml`,
      stringify({
        apiVersion: "attache.dev/v1alpha1",
        kind: "MeshCertificate",
        metadata: { name: mode, namespace: "emissary" },
        spec: { mesh: mode, consul: { service: mode } },
      }),
    );
  }
  attache = start(["run", "--config", join(folder, "attache.yaml")]);
  for (const mode of modes) {
    await vi.waitFor(async () => expect(await published(mode)).toBeDefined(), 30_000);
  }
});

afterAll(async () => {
  await attache[Symbol.asyncDispose]();
  await sidecar[Symbol.asyncDispose]();
  await consul[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const web = "spiffe://*/ns/default/dc/dc1/svc/web";

/** What the TLSContext and its Secrets hold; nothing until all are there. */
async function published(mode: Mode): Promise<ClientPems | undefined> {
  const context = await readContext(join(folder, "published", "emissary"), mode).catch(() => undefined);
  return context && { key: context.key, chain: context.cert, roots: context.ca };
}

async function pemSet(mode: Mode): Promise<ClientPems> {
  const read = (name: string) =>
    readFile(join(folder, "published", "emissary", `pem-${mode}`, "current", name), "utf8");
  return { key: await read("tls.key"), chain: await read("tls.crt"), roots: await read("ca.crt") };
}

describe.each(modes)("the files that attaché publishes from a real Consul over %s", (mode) => {
  it.each([
    ["TLS in Node", echoByNode],
    ["openssl s_client", echoByOpenssl],
  ])("let %s through a real sidecar where there is an intention, and not without", async (_, echo) => {
    expect(await echo(sidecar.port, (await published(mode)) ?? (await pemSet(mode)), web)).toBe(line);
    const pems = await pemSet(mode);
    expect(await echo(sidecar.port, pems, web)).toBe(line);
    await forbid(consul, mode, "web");
    await expect.poll(() => echo(sidecar.port, pems, web).catch(() => "refused")).toBe("refused");
    await allow(consul, mode, "web");
    await expect.poll(() => echo(sidecar.port, pems, web).catch(() => "refused")).toBe(line);
  });
});

describe("a real rotation of Consul's root", () => {
  it("fails no request of 20 a second, over either protocol", async () => {
    const before = await Promise.all(modes.map(published));
    const failures: unknown[] = [];
    const inFlight: Promise<void>[] = [];
    const over = new AbortController();
    const traffic = (async () => {
      for (let count = 0; !over.signal.aborted; count += 1) {
        const mode = modes[count % modes.length] ?? "grpc";
        inFlight.push(
          published(mode)
            .then((pems) => echoByNode(sidecar.port, pems ?? { key: "", chain: "", roots: "" }, web))
            .then((answer) => expect(answer).toBe(line))
            .catch((error: unknown) => void failures.push(error)),
        );
        await setTimeout(25);
      }
    })();
    await rotateRoot(consul, "10m");
    for (const [index, mode] of modes.entries()) {
      await expect
        .poll(() => published(mode), { timeout: 75_000 })
        .not.toMatchObject({ chain: before[index]?.chain });
    }
    over.abort();
    await traffic;
    await Promise.all(inFlight);
    expect(failures).toEqual([]);
    expect(inFlight.length).toBeGreaterThan(0);
    for (const mode of modes) {
      // That of the development agent's start, that of the tests' and the new one.
      expect((await published(mode))?.roots.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    }
  });
});
