import { meshOf } from "./api/mesh-identity.ts";
import type { Home } from "./home.ts";
import type { OpenMesh } from "./reconcile/open-mesh.ts";
import type { Replica } from "./reconcile/replica.ts";
import type { State } from "./telemetry/state.ts";

/** What the parts know of themselves, as metrics and probes want it: live, and without a copy kept. */
export function stateOf(
  replica: () => Replica,
  meshes: ReadonlyMap<string, OpenMesh>,
  { lease, store, ingress }: Pick<Home, "lease" | "store" | "ingress">,
): State {
  return {
    get exposures() {
      return store.exposures;
    },
    get ingress() {
      return replica().isLeader ? ingress?.health : undefined;
    },
    get lease() {
      return lease();
    },
    get isLeader() {
      return replica().isLeader;
    },
    get isRunning() {
      return replica().isRunning;
    },
    get isSynced() {
      return replica().isSynced;
    },
    get meshes() {
      return meshes.values();
    },
    get identities() {
      return replica().reconcilers.map(({ identity, hasLooked, status }) => ({
        namespace: identity.metadata.namespace,
        name: identity.metadata.name,
        mesh: meshOf(identity),
        status: hasLooked ? status : undefined,
      }));
    },
  };
}
