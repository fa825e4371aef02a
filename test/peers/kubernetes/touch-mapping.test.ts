import { afterAll, beforeAll, expect, it } from "vitest";
import { consumerOf } from "../../../src/emissary/consumer.ts";
import { openKubeClient } from "../../../src/kube/client.ts";
import { loadAccess } from "../../../src/kube/load-access.ts";
import { permissions } from "../../../src/kube/permissions.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { KubernetesBackend } from "../../../src/store/kubernetes/backend.ts";
import { type Cluster, cluster } from "./cluster.ts";

const touches = permissions.filter(({ where }) => where === "touches");
let shared: Cluster;
let namespace: string;

beforeAll(async () => {
  shared = await cluster();
  namespace = await shared.namespace();
});

const undo: (() => PromiseLike<unknown>)[] = [];
afterAll(async () => {
  for (const step of undo.reverse()) await step();
});

/** @param without a verb that it lacks */
async function touchAs(name: string, without?: string) {
  const rules = touches.map(({ group, resource, verbs }) => ({
    apiGroups: [group],
    resources: [resource],
    verbs: verbs.filter((verb) => verb !== without),
  }));
  const { kubeconfig } = await shared.serviceAccount(namespace, name, rules);
  const client = openKubeClient(await loadAccess({ kubeconfig }), { userAgent: "attache/tests" });
  undo.push(() => client[Symbol.asyncDispose]());
  return new KubernetesBackend({
    ...{ api: client, installation: "tests", namespaces: [], manager: "attache.dev/tests" },
    clock: systemClock,
  });
}

async function create(kind: "Mapping" | "TCPMapping", name: string) {
  const resource = kind === "Mapping" ? resources.mappings : resources.tcpMappings;
  const spec = { ...(kind === "Mapping" ? { prefix: "/" } : { port: 1 }), service: "web", tls: "web" };
  const object = { apiVersion: "getambassador.io/v3alpha1", kind, metadata: { name, namespace }, spec };
  await shared.admin.create(pathOf(resource, { namespace }), object);
  const consumer = consumerOf(kind, object);
  if (consumer === undefined) throw new Error("names no context");
  return { consumer, path: pathOf(resource, { namespace, name }) };
}

it.each(["Mapping", "TCPMapping"] as const)(
  "sets one annotation of a %s, as a field manager of its own",
  async (kind) => {
    const backend = await touchAs(`toucher-${kind.toLowerCase()}`);
    const { consumer, path } = await create(kind, "touched");
    const before = await shared.admin.get<{ spec: object }>(path);
    await backend.nudgeMapping(consumer);
    await backend.nudgeMapping(consumer);
    const after = await shared.admin.get<{
      spec: object;
      metadata: { annotations: object; generation: number; managedFields: { manager: string }[] };
    }>(path);
    expect(after.spec).toEqual(before.spec);
    expect(after.metadata.generation).toBe(1);
    expect(Object.keys(after.metadata.annotations)).toEqual(["attache.dev/nudge"]);
    expect(after.metadata.managedFields.map(({ manager }) => manager)).toContain("attache-nudge");
  },
);

it.each(["get", "patch"])("fails without the right to %s", async (verb) => {
  const backend = await touchAs(`without-${verb}`, verb);
  const { consumer } = await create("Mapping", `without-${verb}`);
  await expect(backend.nudgeMapping(consumer)).rejects.toMatchObject({
    code: "ATTACHE_KUBERNETES_FORBIDDEN",
  });
});

it("does not make a Mapping that was deleted, nor touch another of its name", async () => {
  const backend = await touchAs("late");
  const { consumer, path } = await create("Mapping", "late");
  await shared.admin.delete(path);
  await expect(backend.nudgeMapping(consumer)).rejects.toMatchObject({
    code: "ATTACHE_KUBERNETES_NOT_FOUND",
  });
  expect((await shared.admin.call("GET", path)).status).toBe(404);
});
