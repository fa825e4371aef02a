import { createPublicKey, type JsonWebKey } from "node:crypto";
import { type Cluster } from "../kubernetes/cluster.ts";
import { issuer } from "../kubernetes/control-plane.ts";
import type { ConsulAgent } from "./agent.ts";

/** What tokens for Consul are minted for. */
export const audience = "consul";

/**
 * An auth method of type `jwt` that knows the cluster's keys, and makes a ServiceAccount of the namespace the
 * service of its name.
 */
export async function addJwtMethod(consul: ConsulAgent, cluster: Cluster, namespace: string): Promise<void> {
  const { keys } = await cluster.admin.get<{ keys: JsonWebKey[] }>("/openid/v1/jwks");
  await consul.call("PUT", "/acl/auth-method", {
    Name: "jwt",
    Type: "jwt",
    MaxTokenTTL: "10m",
    Config: {
      JWTValidationPubKeys: keys.map((key) =>
        createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" }),
      ),
      BoundIssuer: issuer,
      BoundAudiences: [audience],
      ClaimMappings: {
        "/kubernetes.io/namespace": "namespace",
        "/kubernetes.io/serviceaccount/name": "name",
      },
    },
  });
  await consul.call("PUT", "/acl/binding-rule", {
    AuthMethod: "jwt",
    BindType: "service",
    BindName: "${value.name}",
    Selector: `value.namespace==${JSON.stringify(namespace)}`,
  });
}

/** The same of type `kubernetes`, which has the API server review each token. */
export async function addKubernetesMethod(
  consul: ConsulAgent,
  cluster: Cluster,
  namespace: string,
): Promise<void> {
  const reviewer = await cluster.serviceAccount(
    namespace,
    "consul-auth-method",
    [
      { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
      { apiGroups: [""], resources: ["serviceaccounts"], verbs: ["get"] },
    ],
    { in: "*" },
  );
  await consul.call("PUT", "/acl/auth-method", {
    Name: "kubernetes",
    Type: "kubernetes",
    MaxTokenTTL: "10m",
    Config: {
      Host: cluster.access.server,
      CACert: cluster.access.ca,
      ServiceAccountJWT: await reviewer.token(),
    },
  });
  await consul.call("PUT", "/acl/binding-rule", {
    AuthMethod: "kubernetes",
    BindType: "service",
    BindName: "${serviceaccount.name}",
    Selector: `serviceaccount.namespace==${JSON.stringify(namespace)}`,
  });
}

/** Those that a login has made, with one method or any, and that were not given back: their AccessorIDs. */
export async function loginTokens(consul: ConsulAgent, method?: string): Promise<readonly string[]> {
  const tokens = (await consul.call("GET", "/acl/tokens")) as { AccessorID: string; AuthMethod?: string }[];
  const isOf = (made?: string) => made !== undefined && made === (method ?? made);
  return tokens.filter(({ AuthMethod }) => isOf(AuthMethod)).map(({ AccessorID }) => AccessorID);
}
