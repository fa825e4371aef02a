import { meshOf } from "./api/mesh-identity.ts";
import type { Controller } from "./reconcile/controller.ts";
import type { OpenMesh } from "./reconcile/open-mesh.ts";
import type { State } from "./telemetry/state.ts";

/** What the parts know of themselves, as metrics and probes want it: live, and without a copy kept. */
export function stateOf(controller: () => Controller, meshes: ReadonlyMap<string, OpenMesh>): State {
  return {
    get isRunning() {
      return controller().isRunning;
    },
    get isSynced() {
      return controller().isSynced;
    },
    get meshes() {
      return meshes.values();
    },
    get identities() {
      return controller().reconcilers.map(({ identity, hasLooked, status }) => ({
        namespace: identity.metadata.namespace,
        name: identity.metadata.name,
        mesh: meshOf(identity),
        status: hasLooked ? status : undefined,
      }));
    },
  };
}
