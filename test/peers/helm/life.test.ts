import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { startDevelopmentAgent } from "../../fixtures/consul-agent/agent.ts";
import { start } from "../../fixtures/cli.ts";
import type { Status } from "../../../src/api/mesh-certificate.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { finalizerOf } from "../../../src/store/kubernetes/identity.ts";
import { leaveEndingNamespace } from "../../../src/store/kubernetes/ending-namespace.ts";
import { type Cluster, cluster as sharedCluster } from "../kubernetes/cluster.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { chart, helm, objectsOf, templateText } from "./chart.ts";
import { startPod } from "./pod.ts";
import { temporaryFolder } from "./temporary.ts";

let cluster: Cluster;
beforeAll(async () => {
  cluster = await sharedCluster();
});

/** A release with a mesh that runs here; attaché runs as its pods would, and publishes `NAMESPACE/edge`. */
async function installed(more: object = {}) {
  const { admin, access } = cluster;
  const [namespace, tenant] = [await cluster.namespace(), await cluster.namespace()];
  const trustDomain = "11111111-2222-3333-4444-555555555555.consul";
  const authority = await createAuthority({ trustDomain, clock: systemClock });
  const agent = await startDevelopmentAgent({ authority, clock: systemClock });
  onTestFinished(() => agent[Symbol.asyncDispose]());
  const folder = await temporaryFolder();
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, kubeconfigOf(access, namespace));
  const edge = (where: string) => ({
    name: "edge",
    namespace: where,
    spec: { consul: { service: "edge" }, target: { tlsContext: { name: where } } },
  });
  const values = {
    fullnameOverride: "attache",
    installation: namespace,
    meshes: { consul: { enabled: true, ...agent.settings } },
    identities: [edge(namespace), edge(tenant)],
    settings: { limits: { deletionGrace: "0s" } },
    ...more,
  };
  const run = (verb: readonly string[], given?: object) =>
    helm(
      [...verb, "attache", ...(given ? [chart, "-f", "-"] : []), "-n", namespace, "--kubeconfig", kubeconfig],
      given,
    );
  await run(["install"], values);
  onTestFinished(() => run(["uninstall", "--no-hooks", "--ignore-not-found"]).then(() => undefined));
  const free = async (where: string) => {
    const path = pathOf(resources.meshCertificates, { namespace: where, name: "edge" });
    await admin.patch(path, { metadata: { finalizers: null } }).catch(() => undefined);
  };
  for (const where of [namespace, tenant]) onTestFinished(() => free(where));
  const startNext = () => startPod(cluster, { release: "attache", namespace, fill: (text) => text });
  let attache = await startNext();
  onTestFinished(() => attache[Symbol.asyncDispose]());
  const stop = async () => {
    attache.process.kill("SIGTERM");
    await attache.finished;
  };
  /** With the settings of now, which a kubelet would bring into the pod. */
  const restart = async () => {
    await stop();
    await attache[Symbol.asyncDispose]();
    attache = await startNext();
  };
  const statusOf = async (where: string) => {
    const path = pathOf(resources.meshCertificates, { namespace: where, name: "edge" });
    return (await admin.get<{ readonly status?: Status }>(path)).status;
  };
  const create = async ({ name, namespace: where, spec }: ReturnType<typeof edge>) => {
    const head = { apiVersion: "attache.dev/v1alpha1", kind: "MeshCertificate", metadata: { name } };
    await admin.create(pathOf(resources.meshCertificates, { namespace: where }), { ...head, spec });
    onTestFinished(() => free(where));
    await use(where);
  };
  const until = (where: string, holds: (status: Status) => boolean) =>
    vi.waitFor(async () => {
      const status = await statusOf(where);
      if (status === undefined || !holds(status))
        throw new Error(`${JSON.stringify(status)} ${attache.stderr}`);
    }, 40_000);
  const use = (where: string) =>
    admin.create(pathOf(resources.mappings, { namespace: where }), {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name: "web" },
      spec: { prefix: "/", service: "web", tls: where },
    });
  for (const where of [namespace, tenant]) {
    await until(where, ({ conditions }) =>
      conditions.some(({ type, status }) => type === "Ready" && status === "True"),
    );
    await use(where);
    await until(where, ({ usedBy = [] }) => usedBy.length > 0);
  }

  /** As helm would before it goes on with the values: with the account and the arguments of the Job. */
  async function hook(which: "pre-upgrade" | "pre-delete", given: object) {
    const objects = objectsOf(await templateText({ namespace, values: given }));
    const ofHook = (annotated: string) =>
      objects.filter(
        ({ metadata }) =>
          (metadata["annotations"] as Record<string, string> | undefined)?.["helm.sh/hook"] === annotated,
      );
    const file = join(folder, "hook.json");
    const items = ofHook("pre-upgrade,pre-rollback,pre-delete");
    await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    await cluster.kubectl("apply", "--server-side", "-f", file);
    const [found] = ofHook(which === "pre-upgrade" ? "pre-upgrade,pre-rollback" : which);
    const { template } = found?.["spec"] as {
      template: { spec: { serviceAccountName: string; containers: [{ args: string[] }] } };
    };
    const account = template.spec.serviceAccountName;
    const { status } = await admin.create<{ status: { token: string } }>(
      `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
      { spec: {} },
    );
    const own = join(folder, "hook.kubeconfig");
    await writeFile(own, kubeconfigOf({ ...access, token: status.token }, namespace));
    await using job = start(template.spec.containers[0].args, { KUBECONFIG: own });
    const { status: exit, stdout, stderr } = await job.finished;
    await cluster.kubectl("delete", "-f", file);
    return { exit, text: stdout + stderr };
  }

  return { namespace, tenant, values, edge, run, create, until, hook, restart, stop };
}

describe("the life of a release", () => {
  it("is kept from taking attaché from what is in use, until the last use ends", async () => {
    const { namespace, tenant, values, edge, run, until, hook } = await installed();
    expect(await hook("pre-upgrade", values)).toMatchObject({ exit: 0 });
    const dropped = { ...values, identities: [edge(namespace)] };
    const refused = await hook("pre-upgrade", dropped);
    expect(refused).toMatchObject({ exit: 3 });
    expect(refused.text).toContain(`MeshCertificate ${tenant}/edge, used by Mapping ${tenant}/web`);
    expect(refused.text).not.toContain(`${namespace}/edge,`);
    expect((await hook("pre-delete", values)).text).toContain(`MeshCertificate ${namespace}/edge, used by`);

    // What retires is deleted, and renewed until its last use ends.
    const retired = { ...values, identities: [edge(namespace), { ...edge(tenant), retire: true }] };
    expect(await hook("pre-upgrade", retired)).toMatchObject({ exit: 0 });
    await run(["upgrade", "--no-hooks"], retired);
    await until(tenant, ({ conditions }) => conditions.some(({ reason }) => reason === "InUse"));
    await until(tenant, ({ conditions }) => conditions.some(({ reason }) => reason === "Valid"));
    const { admin } = cluster;
    await admin.delete(pathOf(resources.mappings, { namespace: tenant, name: "web" }));
    const path = pathOf(resources.meshCertificates, { namespace: tenant, name: "edge" });
    await vi.waitFor(async () => expect((await admin.call("GET", path)).status).toBe(404), 30_000);
    expect(await hook("pre-upgrade", dropped)).toMatchObject({ exit: 0 });
  });

  it("covers what a user has made: it is kept in use, or reported as orphaned", async () => {
    const rule = { mesh: "consul", spiffeIds: ["spiffe://**"], tlsContexts: ["*"] };
    const theirs = await cluster.namespace();
    const { namespace, values, edge, run, create, until, hook, restart } = await installed({
      namespaces: [theirs],
      allow: [{ ...rule, namespaces: [theirs] }],
    });
    await create(edge(theirs));
    await until(theirs, ({ usedBy = [] }) => usedBy.length > 0);
    const line = `MeshCertificate ${theirs}/edge, used by Mapping ${theirs}/web`;
    for (const [dropped, reason] of [
      [{ namespaces: [namespace] }, `the namespace ${theirs} is no longer named`],
      [{ allow: [{ ...rule, namespaces: ["other"] }] }, "no rule of `allow` grants it any more"],
      [{ rbac: { identitiesOnly: true } }, "no rule of `allow` grants it any more"],
    ] as const) {
      const refused = await hook("pre-upgrade", { ...values, ...dropped });
      expect(refused).toMatchObject({ exit: 3 });
      expect(refused.text).toContain(`${line}: ${reason}`);
    }
    expect((await hook("pre-delete", values)).text).toContain(line);
    expect(await hook("pre-upgrade", values)).toMatchObject({ exit: 0 });

    const isOrphaned = ({ conditions }: Status) =>
      conditions.some(
        ({ type, status, reason }) => type === "Ready" && status === "False" && reason === "Orphaned",
      );
    const isReady = ({ conditions }: Status) =>
      conditions.some(({ type, status }) => type === "Ready" && status === "True");
    // Its rule, then its namespace; each comes back.
    for (const dropped of [{ allow: [{ ...rule, namespaces: ["other"] }] }, { namespaces: [namespace] }]) {
      await run(["upgrade", "--no-hooks"], { ...values, ...dropped });
      await restart();
      await until(theirs, isOrphaned);
      await run(["upgrade", "--no-hooks"], values);
      await restart();
      await until(theirs, isReady);
    }
  });

  it("reports an identity as orphaned that slipped through, and leaves no Lease behind", async () => {
    const { namespace, tenant, values, edge, run, until, restart, stop } = await installed();
    await run(["upgrade", "--no-hooks"], { ...values, identities: [edge(namespace)] });
    await restart();
    await until(tenant, ({ conditions }) =>
      conditions.some(
        ({ type, status, reason }) => type === "Ready" && status === "False" && reason === "Orphaned",
      ),
    );
    const lease = pathOf(resources.leases, { namespace, name: `attache-${namespace}` });
    const { spec } = await cluster.admin.get<{ spec: { holderIdentity?: string } }>(lease);
    expect(spec.holderIdentity).toBeDefined();
    await run(["uninstall", "--no-hooks"]);
    expect((await cluster.admin.call("GET", lease)).status).toBe(404);
    await stop();
  });
});

describe("the last act of an attaché whose namespace is deleted", () => {
  it("lets the namespace go, and touches nothing where it stays", async () => {
    const { admin } = cluster;
    const [staying, ending] = [await cluster.namespace(), await cluster.namespace()];
    const manager = "attache.dev/last";
    const head = { apiVersion: "attache.dev/v1alpha1", kind: "MeshCertificate" };
    const create = async (namespace: string) => {
      await admin.create(pathOf(resources.meshCertificates, { namespace }), {
        ...head,
        metadata: { name: "edge" },
        spec: { consul: { service: "edge" } },
      });
      await cluster.api().request({
        method: "PATCH",
        path: pathOf(resources.meshCertificates, { namespace, name: "edge" }),
        query: { fieldManager: manager },
        contentType: "apply",
        body: { ...head, metadata: { name: "edge", namespace, finalizers: [finalizerOf("last")] } },
      });
    };
    const leave = (namespace: string) =>
      leaveEndingNamespace({
        api: cluster.api(undefined, { namespace }),
        installation: "last",
        manager,
        signal: new AbortController().signal,
      });
    for (const namespace of [staying, ending]) await create(namespace);
    await admin.delete(`/api/v1/namespaces/${ending}`);
    expect(await leave(staying)).toBe(0);
    const path = pathOf(resources.meshCertificates, { namespace: staying, name: "edge" });
    const { metadata } = await admin.get(path);
    expect(metadata["finalizers"]).toEqual([finalizerOf("last")]);
    await admin.patch(path, { metadata: { finalizers: null } });
    await vi.waitFor(async () => expect(await leave(ending)).toBe(1), 20_000);
    await vi.waitFor(
      async () => expect((await admin.call("GET", `/api/v1/namespaces/${ending}`)).status).toBe(404),
      30_000,
    );
  });
});
