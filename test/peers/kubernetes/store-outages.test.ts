import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { openGate } from "../gate.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import type { ControlPlane } from "./control-plane.ts";
import { installDefinitions } from "./definitions.ts";
import { type Reconciled, reconcile } from "./reconciled.ts";
import type { StoredObject } from "../../../src/store/kubernetes/api-object.ts";

const longWait = { timeout: 60_000, interval: 100 };

let own: Cluster & ControlPlane;
beforeAll(async () => (own = await startCluster()));
afterAll(() => own[Symbol.asyncDispose]());

async function ready(run: Reconciled): Promise<string> {
  await run.put();
  await run.until("Ready", "True/Valid");
  return serial(run);
}

async function serial(run: Reconciled): Promise<string> {
  return (await run.status())?.serialNumber ?? "";
}

/** What is published rotates, and the status tells. */
async function untilRotated(run: Reconciled, from: string): Promise<void> {
  await vi.waitFor(async () => expect(await serial(run)).not.toBe(from), longWait);
  await run.until("Published", "True/Published");
}

describe("an outage", () => {
  it.each([
    ["apiServer", "a minute", 60_000],
    ["etcd", "a while", 0],
  ] as const)(
    "of the %s for %s: what came meanwhile is published after it, by itself",
    { timeout: 180_000 },
    async (part, _, awayMs) => {
      // Without etcd the API server lets requests wait.
      await using run = await reconcile(own, { timeoutMs: 2_000 });
      const before = await ready(run);
      await own[part].stop();
      const away = sleep(awayMs);
      await run.mesh.rotate();
      await vi.waitFor(() => expect(run.peer.failures.length).toBeGreaterThan(0), longWait);
      await away;
      await own[part].start();
      await untilRotated(run, before);
    },
  );

  it("of the network in the midst of a watch: what others did meanwhile is found, and undone", async () => {
    await using gate = await openGate(Number(new URL(own.access.server).port));
    const access = { ...own.access, server: `https://127.0.0.1:${gate.port}` };
    await using run = await reconcile({ ...own, access });
    await ready(run);
    await gate.shut();
    const { namespace } = run;
    const path = pathOf(resources.secrets, { namespace, name: "storefront-mesh-ca" });
    const good = await run.secret("storefront-mesh-ca");
    await own.admin.patch(path, { data: { "tls.crt": "Zm9yZWlnbg==" } });
    await own.admin.delete(pathOf(resources.tlsContexts, { namespace, name: "storefront" }));
    // A watch that goes on from before gets 410 Gone.
    await own.compact();
    await gate.open();
    await vi.waitFor(async () => {
      expect(await run.secret("storefront-mesh-ca")).toEqual(good);
      await own.admin.get(pathOf(resources.tlsContexts, { namespace, name: "storefront" }));
    }, longWait);
  });
});

describe("the CRD of MeshCertificates, taken away and put back", () => {
  it("costs no published object, and no retained root is forgotten", async () => {
    await using run = await reconcile(own, { uses: undefined });
    await ready(run);
    const { namespace } = run;
    const { admin, kubectl } = own;
    await run.mesh.rotateRoot();
    await run.mesh.dropOldRoots();
    const states = async () => (await run.status())?.roots?.map(({ state }) => state).toSorted();
    await vi.waitFor(async () => expect(await states()).toEqual(["active", "retiring"]), longWait);
    await admin.create(pathOf(resources.mappings, { namespace }), {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name: "web" },
      spec: { prefix: "/", hostname: "*", service: "web", tls: "storefront" },
    });
    await vi.waitFor(async () => expect((await run.status())?.usedByCount).toBe(1), longWait);
    const roots = await run.secret("storefront-mesh-ca");

    await kubectl("delete", "crd", "meshcertificates.attache.dev", "--wait=false");
    await run.until("Terminating", "True/InUse");
    // By hand, as when attaché is not there to do it; also what other tests have left.
    const { items } = await admin.get<{ items: StoredObject[] }>(pathOf(resources.meshCertificates));
    for (const { metadata } of items) {
      await admin.patch(pathOf(resources.meshCertificates, metadata), { metadata: { finalizers: null } });
    }
    const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/meshcertificates.attache.dev";
    await vi.waitFor(async () => expect((await admin.call("GET", definition)).status).toBe(404), longWait);
    expect(await run.secret("storefront-mesh-ca")).toEqual(roots);
    // It goes on rotating what is used.
    const leaf = await run.secret("storefront-mesh-cert");
    await run.mesh.rotate();
    await vi.waitFor(
      async () => expect(await run.secret("storefront-mesh-cert")).not.toEqual(leaf),
      longWait,
    );

    await installDefinitions(admin);
    await run.put();
    await run.until("Ready", "True/Valid");
    expect(await states()).toEqual(["active", "retiring"]);
    expect(await run.secret("storefront-mesh-ca")).toEqual(roots);
    const { metadata } = await admin.get<StoredObject>(
      pathOf(resources.secrets, { namespace, name: "storefront-mesh-ca" }),
    );
    const identity = await admin.get<StoredObject>(
      pathOf(resources.meshCertificates, { namespace, name: "storefront" }),
    );
    expect(metadata.annotations?.["attache.dev/identity"]).toBe(identity.metadata.uid);
  });
});
