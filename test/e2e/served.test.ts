import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createLeaf, createRoot } from "../fixtures/pki.ts";
import { type AttacheProcess, startAttacheProcess } from "../peers/kubernetes/attache-process.ts";
import { type Cluster, cluster as sharedCluster } from "../peers/kubernetes/cluster.ts";
import { type Signer, startSigner } from "../peers/kubernetes/signer.ts";
import { type Emissary, startEmissary } from "./emissary.ts";
import { followRotations, type Rotations } from "./rotations.ts";

/** Only a failure takes so long. */
const patience = { timeout: 45_000, interval: 50 };

let cluster: Cluster;
let namespace: string;
let signer: Signer;
let emissary: Emissary;
let attache: AttacheProcess;
let rotations: Rotations;
/** attaché's, with that Emissary and that namespace or others. */
let settings: (emissary: Emissary, namespaces: readonly string[]) => object;

/** attaché, an Emissary, and two clusters that use what is published for one identity. */
beforeEach(async () => {
  cluster = await sharedCluster();
  const { access, admin } = cluster;
  namespace = await cluster.namespace();
  signer = await startSigner();
  emissary = await startEmissary({ access, admin, namespace });
  const everything = { apiGroups: ["*"], resources: ["*"], verbs: ["*"] };
  const { kubeconfig } = await cluster.serviceAccount(namespace, "attache", [everything], { in: "*" });
  settings = (one, namespaces) => ({
    meshes: { signer: { adapter: "attache-signer", url: signer.url } },
    store: { kind: "kubernetes", kubernetes: { namespaces, kubeconfig } },
    emissary: [one.settings],
    limits: { rotationWindow: "0s" },
  });
  attache = await startAttacheProcess(settings(emissary, [namespace]));
  await admin.create(identities(), {
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshIdentity",
    metadata: { name: name() },
    spec: { mesh: "signer", plugin: { service: "edge" } },
  });
  for (const mapping of ["web", "shop"]) {
    await put("mappings", "Mapping", mapping, {
      service: `${mapping}.${namespace}`,
      prefix: `/${mapping}/`,
      tls: name(),
    });
  }
  rotations = await followRotations({ access, namespace }, emissary, {
    [`${name()}-mesh-cert`]: ["web", "shop"].map((mapping) => `${mapping}.${namespace}`.replace(/\W/g, "_")),
  });
  await untilServed("True/Served", "1 of 1 pods, 2 of 2 clusters");
});

afterEach(async () => {
  for (const one of [rotations, attache, emissary, signer]) await one[Symbol.asyncDispose]();
});

/** Contexts' names are global in a cluster that other tests use, too. */
const name = () => `edge-${namespace}`;
const identities = () => `/apis/attache.dev/v1alpha1/namespaces/${namespace}/meshidentities`;
const emissaryPath = (plural: string, where = namespace) =>
  `/apis/getambassador.io/v3alpha1/namespaces/${where}/${plural}`;

async function put(
  plural: string,
  kind: string,
  object: string,
  spec: object,
  where?: string,
): Promise<void> {
  await cluster.admin.apply(`${emissaryPath(plural, where)}/${object}`, {
    apiVersion: "getambassador.io/v3alpha1",
    kind,
    metadata: { name: object },
    spec,
  });
}

/** Waits until the condition reads `STATUS/REASON`, with a message that has this in it. */
async function untilServed(is: string, saying: string): Promise<void> {
  await vi.waitFor(async () => {
    const { status } = await cluster.admin.get<{ status?: { conditions: readonly Condition[] } }>(
      `${identities()}/${name()}`,
    );
    const served = status?.conditions.find(({ type }) => type === "Served");
    expect(`${served?.status}/${served?.reason} ${served?.message}`).toMatch(`${is} `);
    expect(served?.message).toContain(saying);
  }, patience);
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

async function renew(value: string): Promise<void> {
  await cluster.admin.patch(`${identities()}/${name()}`, {
    metadata: { annotations: { "attache.dev/renew": value } },
  });
}

let churned = 0;

/** Changes a Mapping that has nothing to do with it. */
async function churn(): Promise<void> {
  churned += 1;
  await put("mappings", "Mapping", "other", { service: "127.0.0.1:9", prefix: `/${churned}/` });
}

/** Renews while Mappings change so often that every pod misses it; they stop when all have. */
async function lose(value: string): Promise<void> {
  const published = rotations.all.length;
  const missed = emissary.pods.map(({ reconfigures }) => reconfigures.length);
  await churn();
  await renew(value);
  await vi.waitFor(async () => {
    await churn();
    expect(rotations.all.length).toBeGreaterThan(published);
    for (const [i, { reconfigures }] of emissary.pods.entries()) {
      const since = reconfigures.slice(missed[i]);
      const taken = since.find(({ changes }) => changes.includes(`secrets/${namespace}/${name()}-mesh-cert`));
      expect(taken?.kind).toBe("incremental");
    }
  }, patience);
  expect(rotations.all.at(-1)?.servedAt).toBeUndefined();
}

async function untilAllServed(): Promise<void> {
  await vi.waitFor(() => expect(rotations.all.at(-1)?.servedAt).toBeDefined(), patience);
}

/** What the last nudge has left. */
async function nudge(): Promise<string | undefined> {
  const { metadata } = await cluster.admin.get(`${emissaryPath("tlscontexts")}/${name()}`);
  const { annotations = {} } = metadata as { readonly annotations?: Record<string, string> };
  return annotations["attache.dev/nudge"];
}

describe("attaché beside an Emissary", () => {
  it("that takes every rotation never nudges it", async () => {
    // What it had to have before: a Mapping that came before its context may need one.
    const before = await nudge();
    for (const value of ["1", "2", "3"]) {
      await renew(value);
      await vi.waitFor(() => expect(rotations.all).toHaveLength(Number(value) + 1), patience);
      await untilAllServed();
    }
    await untilServed("True/Served", "1 of 1 pods, 2 of 2 clusters");
    expect(await nudge()).toBe(before);
  });

  it("that loses a rotation sees which pod and cluster have the old one, and has it taken", async () => {
    const before = await nudge();
    await lose("1");
    await untilServed("False/NotTaken", emissary.pods[0]?.host.replaceAll(".", "-") ?? "");
    await untilAllServed();
    await untilServed("True/Served", "1 of 1 pods, 2 of 2 clusters");
    expect(await nudge()).not.toBe(before);
  });

  it("that is scaled from one pod to five and back amid rotations has it taken by all of them", async () => {
    const scaled = emissary.scale(5);
    await renew("1");
    await scaled;
    await untilServed("True/Served", "5 of 5 pods, 2 of 2 clusters");
    await lose("2");
    await emissary.scale(1);
    await untilAllServed();
    await untilServed("True/Served", "1 of 1 pods, 2 of 2 clusters");
  });

  it("that somebody else's Secret has frozen says so, and has it taken when that is repaired", async () => {
    const root = await createRoot();
    const [leaf, other] = [await createLeaf(root), await createLeaf(root)];
    const theirs = (keyPem: string) =>
      cluster.admin.apply(`/api/v1/namespaces/${namespace}/secrets/theirs`, {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "theirs" },
        data: { "tls.crt": btoa(leaf.pem), "tls.key": btoa(keyPem) },
      });
    await theirs(other.keyPem);
    await put("tlscontexts", "TLSContext", `theirs-${namespace}`, { secret: "theirs" });
    await put("mappings", "Mapping", "theirs", {
      service: "theirs",
      prefix: "/theirs/",
      tls: `theirs-${namespace}`,
    });
    await vi.waitFor(() => expect(emissary.pods[0]?.reconfigures.at(-1)?.isAccepted).toBe(false), patience);
    await renew("1");
    await untilServed("False/Frozen", "attache doctor");
    await theirs(leaf.keyPem);
    await untilAllServed();
    await untilServed("True/Served", "1 of 1 pods, 2 of 2 clusters");
  });

  it("that does not see the TLSContext tells that requests leave in plaintext now, on the Mapping, too", async () => {
    const { access, admin } = cluster;
    const other = await cluster.namespace();
    await using blind = await startEmissary({ access, admin, namespace: other });
    await put("mappings", "Mapping", "web", { service: "web", prefix: "/web/", tls: name() }, other);
    await attache.configure(settings(blind, [namespace, other]));
    await untilServed("False/Exposed", "plaintext");
    await vi.waitFor(async () => {
      const { items } = await admin.get<{ items: readonly { regarding: { kind: string }; note: string }[] }>(
        `/apis/events.k8s.io/v1/namespaces/${other}/events`,
      );
      const notes = items.filter(({ regarding }) => regarding.kind === "Mapping").map(({ note }) => note);
      expect(notes.join()).toContain("NOW");
    }, patience);
  });
});
