import { describe, expect, it } from "vitest";
import { crd } from "../api/crd.ts";
import type { KubeClient, ApiRequest } from "../kube/client.ts";
import { ApiError } from "../kube/api-error.ts";
import { clusterChecks } from "./cluster-checks.ts";
import { leadershipCheck } from "./leadership.ts";
import { permissionChecks } from "./permission-checks.ts";

const options = {
  namespaces: ["edge"],
  consumersIn: [undefined],
  emissaryNamespaces: [],
  touchesMappings: false,
  reviewsTokens: false,
  installation: "edge",
  clockSkewMs: 60_000,
};

const leases = "/apis/coordination.k8s.io/v1/leases";

function leaseThat(spec: object, annotations = {}) {
  return { items: [{ metadata: { namespace: "mesh", name: "attache-edge", annotations }, spec }] };
}

const tlsContexts = { resources: [{ name: "tlscontexts" }] };

/**
 * An API server of which only the answers are there; the real one is asked in
 * test/peers/kubernetes/doctor.test.ts.
 */
function apiThat(answers: Readonly<Record<string, unknown>>, aheadMs = 0): KubeClient {
  const all: Readonly<Record<string, unknown>> = {
    "/version": { gitVersion: "v1.36.3" },
    "/apis/getambassador.io/v3alpha1": tlsContexts,
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/meshcertificates.attache.dev": crd(),
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews": { status: { allowed: true } },
    [leases]: leaseThat({ holderIdentity: "attache-0", renewTime: new Date().toISOString() }),
    ...answers,
  };
  return {
    server: "https://api",
    namespace: "mesh",
    aheadMs,
    request: <T>({ path }: ApiRequest) => {
      const answer = all[path];
      if (answer !== undefined) return Promise.resolve(answer as T);
      return Promise.reject(
        new ApiError("ATTACHE_KUBERNETES_NOT_FOUND", `there is no ${path}`, { status: 404 }),
      );
    },
    watch: () => {
      throw new Error("nothing here is watched");
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function find(name: string, answers: Readonly<Record<string, unknown>> = {}, aheadMs?: number) {
  return (await allChecks(apiThat(answers, aheadMs))).find((check) => check.name === name);
}

async function allChecks(api: KubeClient) {
  const isInstalled = true;
  return [
    ...(await clusterChecks({ ...options, api })),
    ...(await permissionChecks({ ...options, api, emissaryNamespaces: ["ingress"] })),
    await leadershipCheck({ ...options, api, namespaces: ["mesh"], isInstalled }),
  ];
}

describe("permissions on Secrets by name", () => {
  const review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const items = [
    {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { name: "web", namespace: "edge" },
      spec: { consul: { service: "web" } },
    },
  ];

  /** Grants `get` and the like on these names alone. */
  async function missingWith(names: readonly string[]): Promise<readonly string[]> {
    const api = apiThat({
      "/apis/attache.dev/v1alpha1/namespaces/edge/meshcertificates": { metadata: {}, items },
    });
    const request = <T>(asked: ApiRequest): Promise<T> => {
      if (asked.path !== review) return api.request<T>(asked);
      const { resource, verb, name } = (
        asked.body as { spec: { resourceAttributes: Record<string, string> } }
      ).spec.resourceAttributes;
      const isByName = ["get", "patch", "delete"].includes(verb ?? "");
      const isNamed = resource === "secrets" || resource === "tlscontexts";
      const allowed = !isNamed || !isByName || names.includes(name ?? "");
      return Promise.resolve({ status: { allowed } } as T);
    };
    const checks = await permissionChecks({ ...options, api: { ...api, request } });
    return checks
      .filter(({ name }) => name === "permission")
      .map(({ message }) => message.split(":")[0] ?? "");
  }

  it("are enough if they are those of every MeshCertificate", async () => {
    expect(await missingWith(["web-mesh-cert", "web-mesh-ca", "web"])).toEqual([]);
    expect(await missingWith(["web-mesh-cert", "web"])).toEqual([
      "may not get secrets in edge",
      "may not patch secrets in edge",
      "may not delete secrets in edge",
    ]);
  });
});

describe("the checks of a cluster", () => {
  it("are all well where all is there", async () => {
    const checks = await allChecks(apiThat({}));
    expect(checks.filter(({ status }) => status !== "ok")).toEqual([]);
    expect(checks.some(({ remedy }) => remedy !== undefined)).toBe(false);
  });

  const definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/meshcertificates.attache.dev";

  it.each([
    ["CRD of MeshCertificate", { [definition]: undefined }, "failed", "is missing"],
    [
      "CRD of MeshCertificate",
      { [definition]: { spec: { versions: [] } } },
      "warning",
      "is of another version",
    ],
    [
      "CRDs of Emissary",
      { "/apis/getambassador.io/v3alpha1": { resources: [] } },
      "failed",
      "has no TLSContext",
    ],
    ["CRDs of Emissary", { "/apis/getambassador.io/v3alpha1": undefined }, "failed", "has no TLSContext"],
    ["lease attache-edge", { [leases]: { items: [] } }, "failed", "has a lease. Nothing is renewed."],
    ["lease attache-edge", { [leases]: leaseThat({ holderIdentity: "" }) }, "failed", "no replica has taken"],
    [
      "lease attache-edge",
      { [leases]: leaseThat({ holderIdentity: "attache-0", renewTime: "2026-01-01T00:00:00Z" }) },
      "failed",
      "attache-0 renewed mesh/attache-edge last",
    ],
    [
      "lease attache-edge",
      {
        [leases]: leaseThat(
          { holderIdentity: "attache-0", renewTime: new Date().toISOString() },
          { "attache.dev/settings-refused": "2026-01-01T00:00:00.000Z ATTACHE_DOCUMENT_INVALID" },
        ),
      },
      "warning",
      "refused the settings in its file at 2026-01-01T00:00:00.000Z (ATTACHE_DOCUMENT_INVALID)",
    ],
  ])("%s: %j is reported", async (name, answers, status, message) => {
    const check = await find(name, answers);
    expect(check).toMatchObject({ status, message: expect.stringContaining(message) as string });
    expect(check?.remedy).toBeTypeOf("string");
  });

  it.each([
    [300_000, "this machine"],
    [-300_000, "the API server's machine"],
  ])("clocks that are %i ms apart are reported, and which is behind", async (aheadMs, whose) => {
    expect(await find("clocks", {}, aheadMs)).toMatchObject({
      status: "failed",
      message: "differ by 300 s",
      remedy: expect.stringContaining(whose) as string,
    });
  });

  it("ask for this Lease alone, as the chart's Role grants it", async () => {
    const api = apiThat({});
    const asked: unknown[] = [];
    const request = <T>(one: ApiRequest) => {
      if (one.body !== undefined) asked.push(one.body);
      return api.request<T>(one);
    };
    const seen = { ...api, request };
    await permissionChecks({ ...options, api: seen });
    const attributes = { resource: "leases", verb: "update", name: "attache-edge" };
    expect(asked).toContainEqual(
      expect.objectContaining({
        spec: { resourceAttributes: expect.objectContaining(attributes) as object },
      }),
    );
  });

  it("name each permission that is not granted, and what it is for", async () => {
    const review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    expect(await find("permission", { [review]: { status: { allowed: false } } })).toMatchObject({
      status: "failed",
      message:
        "may not patch meshcertificates.attache.dev in edge: with it, attaché sets the finalizer that keeps a deleted MeshCertificate while it is in use",
    });
  });

  it.each([
    [
      ["edge"],
      "ClusterRole, as the chart does, to the account that ran this check; or set store.kubernetes.consumers.clusterWide",
    ],
    [[undefined], "ClusterRole, as the chart does, to the account that ran this check."],
  ])(
    "say whether one for the whole cluster can be done without, acting in %j",
    async (namespaces, remedy) => {
      const review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
      const checks = await permissionChecks({
        ...options,
        api: apiThat({ [review]: { status: { allowed: false } } }),
        namespaces,
      });
      const found = checks.find(({ message }) => message.includes("list mappings"));
      expect(found?.message).toContain("may not list mappings.getambassador.io in all namespaces");
      expect(found?.remedy).toContain(remedy);
    },
  );
});
