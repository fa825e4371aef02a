import { describe, expect, it } from "vitest";
import { permissions } from "../../../src/kube/permissions.ts";
import { pathOf, type Resource, resources } from "../../../src/kube/resources.ts";
import { storeConformance } from "../../conformance/store.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { cluster } from "./cluster.ts";
import { type StoreCluster, startClusterPeer } from "./store-peer.ts";
import { runStore } from "./store-run.ts";

/**
 * The cluster as a ServiceAccount sees it that has exactly the permissions of the chart, in one namespace.
 */
async function asServiceAccount(): Promise<StoreCluster> {
  const whole = await cluster();
  const namespace = await whole.namespace();
  const rules = permissions.map(({ group, resource, subresource, verbs }) => ({
    apiGroups: [group],
    resources: [subresource === undefined ? resource : `${resource}/${subresource}`],
    verbs: [...verbs],
  }));
  const { access } = await whole.serviceAccount(namespace, "attache", rules);
  return { ...whole, access, namespace: () => Promise.resolve(namespace) };
}

describe.each([
  ["as an administrator", async (): Promise<StoreCluster> => cluster()],
  ["with exactly the permissions of the chart", asServiceAccount],
])("the kubernetes store, %s", (_, seen) => {
  const start = async () => startClusterPeer(await seen());
  for (const { name, run, skip } of storeConformance({ start, fullCode: "ATTACHE_KUBERNETES_QUOTA" })) {
    it.skipIf(skip !== undefined)(name, run);
  }
});

describe("with exactly the permissions of the chart, while another client writes the same object first", () => {
  async function published() {
    const run = await runStore(await asServiceAccount(), { uses: undefined });
    const identity = await run.put("web");
    await run.store.apply(identity, targetOf(identity, "1"));
    const { admin } = run.cluster;
    const path = (resource: Resource, name: string) => pathOf(resource, { namespace: run.namespace, name });
    /** Edits the object right before the next request for it that is no read. */
    const overtake = (resource: Resource, name: string) => {
      run.peer.intercept = async ({ method, path: asked }) => {
        if (method === "GET" || !asked.startsWith(path(resource, name))) return;
        run.peer.intercept = () => undefined;
        await admin.patch(path(resource, name), { metadata: { labels: { by: "hand" } } });
      };
    };
    return { run, identity, admin, path, overtake };
  }

  it.each([
    ["the CA Secret", resources.secrets, "web-mesh-ca"],
    ["the leaf Secret", resources.secrets, "web-mesh-cert"],
    ["the TLSContext", resources.tlsContexts, "web"],
  ])("publishes and withdraws %s", async (_, resource, name) => {
    const { run, identity, admin, path, overtake } = await published();
    await using _run = run;
    overtake(resource, name);
    const rotated = targetOf(identity, { ca: "2", leaf: "2", alpn: "h2" });
    expect(await run.store.apply(identity, rotated)).toEqual({ writes: 3 });
    await run.peer.remove(`${run.namespace}/web`);
    overtake(resource, name);
    await run.store.withdraw(identity);
    expect((await admin.call("GET", path(resource, name))).status).toBe(404);
    expect(run.peer.failures.map(String).filter((failure) => failure.includes("FORBIDDEN"))).toEqual([]);
  });

  it("nudges the TLSContext and writes the status", async () => {
    const { run, identity, overtake } = await published();
    await using _run = run;
    overtake(resources.tlsContexts, "web");
    await run.store.nudge(identity, "web");
    overtake(resources.meshCertificates, "web");
    await run.store.report(identity, { conditions: [], serialNumber: "0a" });
    expect(run.peer.statusWrites()).toBe(1);
  });
});
