import { describe, expect, it } from "vitest";
import { cluster, startCluster } from "./cluster.ts";
import { rest } from "./rest.ts";

const readSecrets = { apiGroups: [""], resources: ["secrets"], verbs: ["list"] };

describe("the cluster that the peer tests share", () => {
  it("serves our kind and Emissary's", async () => {
    const { kubectl } = await cluster();
    // Its descriptions come a moment after the kind.
    const explained = () => kubectl("explain", "meshcertificate.spec").catch(String);
    await expect.poll(explained, { timeout: 60_000 }).toContain("Name of a configured mesh");
    expect(await kubectl("api-resources", "--api-group=getambassador.io", "-o", "name")).toBe(
      ["authservices", "hosts", "mappings", "modules", "ratelimitservices", "tcpmappings", "tlscontexts"]
        .map((name) => `${name}.getambassador.io\n`)
        .join(""),
    );
  });

  it("gives each test a namespace, and an account that may do what its rules say and no more", async () => {
    const { namespace, serviceAccount } = await cluster();
    const own = await namespace();
    const other = await namespace();
    const { access } = await serviceAccount(own, "reader", [readSecrets]);
    await using reader = rest(access);
    const statuses = async (path: string) => (await reader.call("GET", path)).status;
    expect(await statuses(`/api/v1/namespaces/${own}/secrets`)).toBe(200);
    expect(await statuses(`/api/v1/namespaces/${own}/configmaps`)).toBe(403);
    expect(await statuses(`/api/v1/namespaces/${other}/secrets`)).toBe(403);
  });

  it("counts quotas, and lets a deleted namespace go", async () => {
    const { admin, namespace, kubectl } = await cluster();
    const name = await namespace();
    await kubectl("-n", name, "create", "quota", "none", "--hard=count/secrets=0");
    await kubectl("-n", name, "wait", "quota/none", "--for=jsonpath={.status.hard}");
    const path = `/api/v1/namespaces/${name}`;
    expect((await admin.call("POST", `${path}/secrets`, { metadata: { name: "one" } })).status).toBe(403);
    await kubectl("delete", "namespace", name, "--timeout=60s");
    expect((await admin.call("GET", path)).status).toBe(404);
  });
});

describe("a cluster of the test's own", () => {
  it("keeps what it has through a stop of its API server and its etcd", async () => {
    await using own = await startCluster();
    const name = await own.namespace();
    await own.apiServer.stop();
    await own.etcd.stop();
    await expect(own.admin.call("GET", "/version")).rejects.toThrow();
    await own.etcd.start();
    await own.apiServer.start();
    expect((await own.admin.call("GET", `/api/v1/namespaces/${name}`)).status).toBe(200);
  });
});
