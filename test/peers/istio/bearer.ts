import { ClusterAccess } from "../../../src/app/cluster-access.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import type {
  Cluster as SeenCluster,
  ServiceAccountToken,
  TokenRequest,
  WatchOptions,
} from "../../../src/mesh/adapter.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import type { Cluster, Rule } from "../kubernetes/cluster.ts";

/** The namespace of attaché, of Emissary and of their MeshCertificates. */
export const namespace = "emissary";

/**
 * attaché as it is in istiod's cluster: its ServiceAccount, `attache`, with what the chart grants it for one
 * identity.
 */
export interface Bearer {
  readonly kubeconfig: string;
  /** What an adapter is given of the cluster. */
  readonly cluster: SeenCluster;
  readonly mint: WatchOptions["serviceAccountToken"];
  /** Every token that was minted. */
  readonly tokens: readonly string[];
  /** Leaves it these rights and no others. */
  may(...rules: readonly Rule[]): Promise<void>;
}

export const mayReadRoots: Rule = {
  apiGroups: [""],
  resources: ["configmaps"],
  resourceNames: ["istio-ca-root-cert", "istio-ca-crl"],
  verbs: ["get", "list", "watch"],
};

export const mayMint: Rule = {
  apiGroups: [""],
  resources: ["serviceaccounts/token"],
  resourceNames: ["edge"],
  verbs: ["create"],
};

/**
 * Makes the namespace, attaché's ServiceAccount, and `edge`, the ServiceAccount whose identity it gets.
 */
export async function prepareBearer(cluster: Cluster): Promise<Bearer> {
  await cluster.admin.create("/api/v1/namespaces", { metadata: { name: namespace } });
  const own = await cluster.serviceAccount(namespace, "attache", [mayReadRoots, mayMint]);
  await cluster.serviceAccount(namespace, "edge", []);
  const tokens: string[] = [];
  // One connection that stays: the conformance suite counts what is left open.
  const api = cluster.api(own.access, { namespace, maxInFlight: 1 });
  const seen = new ClusterAccess({
    api: () => Promise.resolve(api),
    clock: systemClock,
    logger: createLogger("silent"),
  });
  async function mint(request: TokenRequest): Promise<ServiceAccountToken> {
    const minted = await seen.serviceAccountToken(namespace, request);
    tokens.push(minted.token);
    return minted;
  }

  return {
    kubeconfig: own.kubeconfig,
    cluster: seen,
    tokens,
    mint,
    async may(...rules) {
      const role = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles/${namespace}-attache`;
      await cluster.admin.patch(role, { rules });
    },
  };
}
