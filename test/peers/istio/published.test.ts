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
import { type Agent, startAgent } from "./agent.ts";
import { namespace, prepareBearer } from "./bearer.ts";
import { type Istiod, startIstiod } from "./istiod.ts";
import { createCa, rootsPem } from "./plugged-ca.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

/**
 * MeshCertificates by how they come: attaché's own through the agent of its pod, and that of `edge` from
 * istiod.
 */
const modes = ["sds", "istiod"] as const;
type Mode = (typeof modes)[number];

/** As long as the test looks at the old root. */
const retain = "40s";

let folder: string;
let istiod: Istiod;
let agent: Agent;
let upstreams: readonly Upstream[] = [];
let attache: Running;

/** All the while. */
let traffic: Traffic;

/** attaché as a user runs it, services of the mesh, and requests without a pause. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-published-"));
  istiod = await startIstiod();
  const bearer = await prepareBearer(istiod.cluster);
  await istiod.cluster.serviceAccount(namespace, "web", []);
  // Leaves of two minutes, which the agent renews every ten seconds: an outage must be shorter than the rest.
  const env = { SECRET_GRACE_PERIOD_RATIO: "0.92" };
  agent = await startAgent(istiod, { namespace, serviceAccount: "attache", secretTtl: "2m", env });
  upstreams = [await startUpstream(istiod, namespace, "web")];
  await writeFile(
    join(folder, "attache.yaml"),
    stringify({
      meshes: {
        sds: { adapter: "istio", socket: agent.socket, trust: { retain } },
        istiod: {
          adapter: "istio",
          mode: "istiod",
          address: `127.0.0.1:${istiod.port}`,
          ttl: "1m",
          trust: { retain },
        },
      },
      store: { directory: { path: "published", identities: modes.map((mode) => `${mode}.yaml`), pem: true } },
      server: { enabled: false },
    }),
  );
  for (const mode of modes) {
    await writeFile(
      join(folder, `${mode}.yaml`),
      stringify({
        apiVersion: "attache.dev/v1alpha1",
        kind: "MeshCertificate",
        metadata: { name: mode, namespace },
        spec: { mesh: mode, istio: mode === "istiod" ? { serviceAccount: "edge" } : {} },
      }),
    );
  }
  attache = start(["run", "--config", join(folder, "attache.yaml")], { KUBECONFIG: bearer.kubeconfig });
  for (const mode of modes) await vi.waitFor(() => pems(mode), 30_000);
  const send = async ({ port, id }: Upstream, turn: number) => {
    const published = await pems(modes[turn % modes.length] ?? "sds");
    expect(await echoByNode(port, published, id)).toBe(line);
  };
  // To each of them that of each mode in turn.
  let moment = 0;
  traffic = startTraffic(() => {
    moment += 1;
    return upstreams.map((upstream, index) => send(upstream, moment + index));
  });
});

afterAll(async () => {
  await traffic[Symbol.asyncDispose]();
  await attache[Symbol.asyncDispose]();
  for (const upstream of upstreams) await upstream[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
  await istiod[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const pems = (mode: Mode) => readPemSet(join(folder, "published"), namespace, mode);
const leafOf = ({ chain }: ClientPems) => parseCertificates(chain)[0]?.serialNumber;
const rootsOf = ({ roots }: ClientPems) => parseCertificates(roots).map(({ fingerprint }) => fingerprint);

async function statusOf(mode: Mode): Promise<Status> {
  const text = await readFile(join(folder, "published", "status", namespace, `${mode}.yaml`), "utf8");
  return (parse(text) as { readonly status: Status }).status;
}

/** The condition SourceReady, as `attache status` prints it. */
async function source(mode: Mode) {
  return (await statusOf(mode)).conditions.find(({ type }) => type === "SourceReady");
}

const slow = { timeout: 60_000, interval: 200 };

/** Resolves with the leaf that is published in the place of `before`. */
async function nextLeaf(mode: Mode, before: string | undefined): Promise<string | undefined> {
  await expect.poll(async () => leafOf(await pems(mode)), slow).not.toBe(before);
  return leafOf(await pems(mode));
}

const ofBoth = <T>(of: (mode: Mode) => Promise<T>) => Promise.all(modes.map(of));
const present = async (mode: Mode) => leafOf(await pems(mode));

describe("what attaché publishes from a real istiod, and from a real agent, lets every request through", () => {
  it.each([
    ["TLS in Node", echoByNode],
    ["openssl s_client", echoByOpenssl],
  ])("by %s", async (_, echo) => {
    for (const { port, id } of upstreams) {
      for (const mode of modes) expect(await echo(port, await pems(mode), id)).toBe(line);
    }
  });

  it("while leaves of a minute or two are renewed, twice each", async () => {
    const next = async (mode: Mode) => nextLeaf(mode, await present(mode));
    await Promise.all([next("sds").then(() => next("sds")), next("istiod")]);
    // Last, so that what it gives outlives the outage that comes next.
    await next("istiod");
    traffic.assertNoneFailed();
  }, 150_000);

  it("while istiod is unreachable for longer than a back-off, which attaché then finds by itself", async () => {
    await istiod.stop();
    await expect.poll(() => source("istiod"), slow).toMatchObject({ status: "False", reason: "Unreachable" });
    await expect.poll(() => source("sds"), slow).toMatchObject({ status: "False", reason: "Unavailable" });
    const before = await ofBoth(present);
    await setTimeout(10_000);
    expect(await ofBoth(present)).toEqual(before);
    await istiod.start();
    await ofBoth((mode) => expect.poll(() => source(mode), slow).toMatchObject({ status: "True" }));
    await nextLeaf("sds", before[0]);
    traffic.assertNoneFailed();
  });

  it("while the agent is restarted", async () => {
    const before = await present("sds");
    await agent.stop();
    await expect.poll(() => source("sds"), slow).toMatchObject({ status: "False", reason: "Unreachable" });
    await agent.start();
    await nextLeaf("sds", before);
    await expect.poll(() => source("sds"), slow).toMatchObject({ status: "True" });
    traffic.assertNoneFailed();
  });

  it("while istiod's CA is swapped: services under the old root are verified, too, until it has been retained", async () => {
    const [old] = await ofBoth(pems);
    const before = await ofBoth(present);
    const next = await createCa("next");
    for (const upstream of upstreams) upstream.trust(rootsPem([...istiod.cas, next]));
    await istiod.stop();
    await istiod.plug(next);
    await istiod.start();
    await agent.mountRoots();
    await ofBoth((mode) => nextLeaf(mode, before[modes.indexOf(mode)]));
    const renewed = await startUpstream(istiod, namespace, "web");
    upstreams = [...upstreams, renewed];
    const [under] = upstreams;
    for (const mode of modes) {
      const published = await pems(mode);
      expect(rootsOf(published)).toHaveLength(2);
      for (const upstream of upstreams) {
        expect(await echoByOpenssl(upstream.port, published, upstream.id)).toBe(line);
      }
      const { roots } = await statusOf(mode);
      expect(roots?.map(({ state }) => state).sort()).toEqual(["active", "retiring"]);
    }
    traffic.assertNoneFailed();

    upstreams = [renewed];
    await ofBoth((mode) =>
      expect.poll(async () => rootsOf(await pems(mode)), slow).toEqual([next.root.certificate.fingerprint]),
    );
    if (under === undefined || old === undefined) expect.unreachable();
    await expect(echoByNode(under.port, await pems("sds"), under.id)).rejects.toThrow(/certificate/);
    await under[Symbol.asyncDispose]();
    traffic.assertNoneFailed();
  }, 150_000);
});
