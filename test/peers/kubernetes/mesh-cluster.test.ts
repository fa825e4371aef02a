import { beforeAll, describe, expect, it } from "vitest";
import { ClusterAccess } from "../../../src/app/cluster-access.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { createRoot } from "../../fixtures/pki.ts";
import { type Cluster, cluster as shared, type Rule } from "./cluster.ts";

const name = "istio-ca-root-cert";
const never = new AbortController().signal;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await shared();
});

/** What adapters see with the rights of a ServiceAccount that has these, in a namespace of its own. */
async function setUp(rules: readonly Rule[], where?: "*") {
  const namespace = await cluster.namespace();
  const account = await cluster.serviceAccount(namespace, "attache", rules, where && { in: where });
  const api = cluster.api(account.access, { namespace });
  const seen = new ClusterAccess({
    api: () => Promise.resolve(api),
    clock: systemClock,
    logger: createLogger("silent"),
  });
  return { namespace, seen };
}

const mayFollow: Rule = {
  apiGroups: [""],
  resources: ["configmaps"],
  resourceNames: [name],
  verbs: ["get", "list", "watch"],
};

describe("a ConfigMap in attaché's namespace", () => {
  it("is followed by the one permission that the chart grants for it", async () => {
    const { namespace, seen } = await setUp([mayFollow]);
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const values = seen.configMap(name, never)[Symbol.asyncIterator]();
    const next = async () => (await values.next()).value as unknown;
    expect(await next()).toBeUndefined();
    await cluster.admin.create(path, { metadata: { name: "another" }, data: { of: "no concern" } });
    await cluster.admin.create(path, { metadata: { name }, data: { "root-cert.pem": "one" } });
    expect(await next()).toEqual({ "root-cert.pem": "one" });
    await cluster.admin.patch(`${path}/${name}`, { data: { "root-cert.pem": "two" } });
    expect(await next()).toEqual({ "root-cert.pem": "two" });
    await cluster.admin.delete(`${path}/${name}`);
    expect(await next()).toBeUndefined();
    await values.return?.();
  });

  it("that may not be read ends with the permission that is missing", async () => {
    const { namespace, seen } = await setUp([]);
    await expect(seen.configMap(name, never)[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: "ATTACHE_MESH_CLUSTER",
      problem: `system:serviceaccount:${namespace}:attache may not get configmaps in namespace ${namespace}`,
      remedy: expect.stringContaining(`system:serviceaccount:${namespace}:attache`) as string,
    });
  });

  it("ends with the signal's reason", async () => {
    const { seen } = await setUp([mayFollow]);
    const over = new AbortController();
    const values = seen.configMap(name, over.signal)[Symbol.asyncIterator]();
    await values.next();
    const next = values.next();
    const reason = new Error("no longer wanted");
    over.abort(reason);
    await expect(next).rejects.toBe(reason);
  });
});

describe("a ClusterTrustBundle", () => {
  it("is followed", async () => {
    const { namespace, seen } = await setUp(
      [
        {
          apiGroups: ["certificates.k8s.io"],
          resources: ["clustertrustbundles"],
          verbs: ["get", "list", "watch"],
        },
      ],
      "*",
    );
    const path = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles";
    // Of the whole cluster, so that it needs a name of its own.
    const bundle = `attache-${namespace}`;
    const values = seen.clusterTrustBundle(bundle, never)[Symbol.asyncIterator]();
    expect((await values.next()).value).toBeUndefined();
    const { pem } = await createRoot();
    await cluster.admin.create(path, { metadata: { name: bundle }, spec: { trustBundle: pem } });
    expect((await values.next()).value).toBe(pem);
    await values.return?.();
    await cluster.admin.delete(`${path}/${bundle}`);
  });
});

describe("a token of a ServiceAccount", () => {
  const request = { serviceAccount: "edge", audiences: ["istio-ca"], expirationSeconds: 600, signal: never };
  const mayMint: Rule = {
    apiGroups: [""],
    resources: ["serviceaccounts/token"],
    resourceNames: ["edge"],
    verbs: ["create"],
  };

  it("is minted for the audience that is asked for, and for its life", async () => {
    const { namespace, seen } = await setUp([mayMint]);
    await cluster.serviceAccount(namespace, "edge", []);
    const { token, expiresAt } = await seen.serviceAccountToken(namespace, request);
    const [, claims = ""] = token.split(".");
    const { aud, sub, exp, iat } = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<
      string,
      unknown
    >;
    expect({ aud, sub }).toEqual({ aud: ["istio-ca"], sub: `system:serviceaccount:${namespace}:edge` });
    expect(Number(exp) - Number(iat)).toBe(600);
    expect(expiresAt).toEqual(new Date(Number(exp) * 1000));
  });

  it("is refused for another ServiceAccount than the Role names, and the message says which permission is missing", async () => {
    const { namespace, seen } = await setUp([mayMint]);
    await cluster.serviceAccount(namespace, "admin", []);
    await expect(
      seen.serviceAccountToken(namespace, { ...request, serviceAccount: "admin" }),
    ).rejects.toMatchObject({
      code: "ATTACHE_MESH_TOKEN",
      problem: `system:serviceaccount:${namespace}:attache may not create serviceaccounts/token in namespace ${namespace}`,
      remedy: expect.stringContaining("resourceNames [admin]") as string,
    });
  });

  it("of one that does not exist says so", async () => {
    const { namespace, seen } = await setUp([mayMint]);
    await expect(seen.serviceAccountToken(namespace, request)).rejects.toMatchObject({
      code: "ATTACHE_MESH_TOKEN",
      problem: expect.stringContaining('serviceaccounts "edge" not found') as string,
      remedy: `Make the ServiceAccount edge in namespace ${namespace}, or name another one.`,
    });
  });
});
