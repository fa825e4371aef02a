import { meshOf } from "../api/mesh-certificate.ts";
import type { Platform } from "./platform.ts";
import type { OpenMesh } from "../controller/open-mesh.ts";
import type { LeaderElectedRunner } from "../controller/leader-elected-runner.ts";
import type { Reconciler } from "../controller/reconciler.ts";
import { targetNames } from "../render/names.ts";
import type { IdentityState, SettingsState, State } from "../telemetry/state.ts";

/** The live state of the parts, for metrics and probes. Keeps no copy. */
export function stateOf(
  replica: () => LeaderElectedRunner,
  meshes: () => ReadonlyMap<string, OpenMesh>,
  platform: () => Pick<Platform, "lease" | "store" | "ingress" | "clockAheadMs" | "orphans">,
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
      const { queue } = platform().ingress ?? {};
      return { reconcile: replica().queue, ...(queue && { ingress: queue }) };
    },
    get clockAheadMs() {
      return platform().clockAheadMs?.();
    },
    get orphans() {
      return platform().orphans?.() ?? 0;
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
      return replica().reconcilers.map((reconciler) => identityState(reconciler));
    },
  };
}

/** What a scrape of thousands of identities may not need is looked up when it is asked for. */
function identityState(reconciler: Reconciler): IdentityState {
  const { identity, hasLooked, status } = reconciler;
  return {
    namespace: identity.metadata.namespace,
    name: identity.metadata.name,
    mesh: meshOf(identity),
    get target() {
      return targetNames(identity);
    },
    status: hasLooked ? status : undefined,
    rootNotBefore: (fingerprint) =>
      reconciler.certificates.bundle.find((root) => root.fingerprint === fingerprint)?.notBefore,
  };
}
