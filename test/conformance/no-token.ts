import { MeshError, type ServiceAccountToken } from "../../src/mesh/adapter.ts";

/** What asking for a ServiceAccount's token comes to where attaché has no cluster to ask. */
export function noToken(): Promise<ServiceAccountToken> {
  return Promise.reject(
    new MeshError("ATTACHE_MESH_TOKEN", "attaché knows no Kubernetes cluster that could give a token", {
      remedy:
        "Run it in a cluster or with a kubeconfig, or use a mode of the adapter that needs no ServiceAccount.",
    }),
  );
}
