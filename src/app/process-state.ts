import { meshOf } from "../api/mesh-certificate.ts";
import type { Platform } from "./platform.ts";
import type { OpenMesh } from "../controller/open-mesh.ts";
import type { LeaderElectedRunner } from "../controller/leader-elected-runner.ts";
import type { SettingsState, State } from "../telemetry/state.ts";

/** The live state of the parts, for metrics and probes. Keeps no copy. */
export function stateOf(
  replica: () => LeaderElectedRunner,
  meshes: () => ReadonlyMap<string, OpenMesh>,
  platform: () => Pick<Platform, "lease" | "store" | "ingress">,
  settings: SettingsState | undefined,
): State {
  return {
    settings,
    get exposures() {
      // A replica that led before has old ones.
      return replica().isLeader ? platform().store.exposures : undefined;
    },
    get watches() {
      return platform().store.watches;
    },
    get ingress() {
      return replica().isLeader ? platform().ingress?.health : undefined;
    },
    get queues() {
      const { depth } = platform().ingress ?? {};
      return { reconcile: replica().queueDepth, ...(depth !== undefined && { ingress: depth }) };
    },
    get lease() {
      return platform().lease();
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
      return meshes().values();
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
