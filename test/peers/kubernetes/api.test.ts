import { writeFile } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { type KubeClient, type ApiRequest, openKubeClient } from "../../../src/kube/client.ts";
import { loadAccess } from "../../../src/kube/load-access.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { type Cluster, cluster } from "./cluster.ts";
import { kubeconfigOf } from "./kubeconfig.ts";

const { secrets, tlsContexts } = resources;
const unknownUid = "11111111-2222-3333-4444-555555555555";

let shared: Cluster;
let api: KubeClient;
let namespace: string;
const secret = (name?: string) => pathOf(secrets, { namespace, name });

beforeAll(async () => {
  shared = await cluster();
  api = shared.api();
  namespace = await shared.namespace();
});

function create(name: string, more: object = {}): ApiRequest {
  return { method: "POST", path: secret(), body: { metadata: { name }, ...more } };
}

/** A server-side apply, as attaché writes. */
function apply(name: string, metadata: object, more: object = {}): ApiRequest {
  return {
    method: "PATCH",
    path: secret(name),
    query: { fieldManager: "attache", force: true },
    contentType: "apply",
    body: { apiVersion: "v1", kind: "Secret", metadata: { name, ...metadata }, ...more },
  };
}

describe("a real API server", () => {
  it("is asked, and its clock read", async () => {
    expect(await api.request({ method: "GET", path: "/version" })).toMatchObject({ gitVersion: "v1.36.3" });
    expect(api.aheadMs).toBeDefined();
  });

  it.each<[string, string, () => ApiRequest]>([
    ["EXISTS", 'secrets "there" already exists', () => create("there")],
    ["NOT_FOUND", 'secrets "missing" not found', () => ({ method: "GET", path: secret("missing") })],
    [
      "NOT_FOUND",
      'namespaces "nowhere" not found',
      () => ({ ...create("x"), path: pathOf(secrets, { namespace: "nowhere" }) }),
    ],
    [
      "NOT_FOUND",
      'tlscontexts.getambassador.io "x" not found',
      () => ({ method: "GET", path: pathOf(tlsContexts, { namespace, name: "x" }) }),
    ],
    ["KIND_UNKNOWN", "page not found", () => ({ method: "GET", path: "/apis/example.dev/v1/things" })],
    ["INVALID", 'Secret "A_B" is invalid', () => create("A_B")],
    ["INVALID", "Too long", () => create("big", { stringData: { x: "x".repeat(1_100_000) } })],
    ["INVALID", "too large", () => create("huge", { stringData: { x: "x".repeat(4_000_000) } })],
    ["INVALID", "failed to create typed patch object", () => apply("there", {}, { data: { x: {} } })],
    ["CONFLICT", "has been modified", () => apply("there", { resourceVersion: "1" }, { data: {} })],
    ["CONFLICT", "uid mismatch", () => apply("gone", { uid: unknownUid, resourceVersion: "1" })],
  ])("refuses with %s and says: %s", async (code, said, request) => {
    await shared.admin.call("POST", secret(), { metadata: { name: "there" } });
    await expect(api.request(request())).rejects.toMatchObject({
      code: `ATTACHE_KUBERNETES_${code}`,
      message: expect.stringContaining(said) as unknown,
    });
  });

  it("names the permission that an account lacks", async () => {
    const { access } = await shared.serviceAccount(namespace, "reader", [
      { apiGroups: [""], resources: ["secrets"], verbs: ["get"] },
    ]);
    const error: unknown = await shared
      .api(access)
      .request(apply("there", {}))
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: "ATTACHE_KUBERNETES_FORBIDDEN",
      problem: `system:serviceaccount:${namespace}:reader may not patch secrets in namespace ${namespace}`,
      remedy: expect.stringContaining(`system:serviceaccount:${namespace}:reader`) as unknown,
    });
  });

  it("sends no data of Secrets when metadata are asked for", async () => {
    await shared.admin.create(secret(), { metadata: { name: "full" }, stringData: { key: "hidden" } });
    const list = await api.request<{ items: object[] }>({
      method: "GET",
      path: secret(),
      accept: "metadata",
    });
    expect(JSON.stringify(list)).toContain("full");
    expect(list.items.filter((item) => "data" in item)).toEqual([]);
  });

  it("tells a quota and an ending namespace from a lack of rights", async () => {
    const other = await shared.namespace();
    const path = pathOf(secrets, { namespace: other });
    await shared.kubectl("-n", other, "create", "quota", "none", "--hard=count/secrets=0");
    await shared.kubectl("-n", other, "wait", "quota/none", "--for=jsonpath={.status.hard}");
    await expect(api.request({ ...create("x"), path })).rejects.toMatchObject({
      code: "ATTACHE_KUBERNETES_QUOTA",
    });
    await shared.kubectl("-n", other, "delete", "quota", "none");
    // It keeps the namespace from going too soon.
    const metadata = { name: "held", finalizers: ["attache.dev/tests"] };
    await shared.admin.create(`/api/v1/namespaces/${other}/configmaps`, { metadata });
    await shared.admin.delete(`/api/v1/namespaces/${other}`);
    await expect(api.request({ ...create("x"), path })).rejects.toMatchObject({
      code: "ATTACHE_KUBERNETES_NAMESPACE_ENDS",
    });
    await shared.admin.patch(`/api/v1/namespaces/${other}/configmaps/held`, {
      metadata: { finalizers: [] },
    });
  });

  it("has a token that ended replaced by the one that is in the file by then", async () => {
    const { kubeconfig, token, access } = await shared.serviceAccount(namespace, "rotating", [
      { apiGroups: [""], resources: ["secrets"], verbs: ["list"] },
    ]);
    const tokenFile = `${kubeconfig}.token`;
    await writeFile(tokenFile, access.token);
    const config = JSON.parse(kubeconfigOf(access, namespace)) as object;
    await writeFile(
      kubeconfig,
      JSON.stringify({ ...config, users: [{ name: "attache-tests", user: { tokenFile } }] }),
    );
    await using own = openKubeClient(await loadAccess({ kubeconfig }), { userAgent: "attache/tests" });
    await own.request({ method: "GET", path: secret() });

    // The API server no longer knows tokens of an account that was created again.
    const account = `/api/v1/namespaces/${namespace}/serviceaccounts`;
    await shared.admin.delete(`${account}/rotating`);
    await shared.admin.create(account, { metadata: { name: "rotating" } });
    await expect
      .poll(() => own.request({ method: "GET", path: secret() }).catch((error: unknown) => error), {
        timeout: 30_000,
      })
      .toMatchObject({ code: "ATTACHE_KUBERNETES_UNAUTHENTICATED" });
    await writeFile(tokenFile, await token());
    await own.request({ method: "GET", path: secret() });
  });
});
