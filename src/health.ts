import { keyOf, meshOf } from "./api/mesh-identity.ts";
import type { Controller } from "./reconcile/controller.ts";
import type { OpenMesh } from "./reconcile/open-mesh.ts";
import type { Health } from "./server/health.ts";
import type { IdentityState } from "./telemetry/metrics.ts";

/** What the reconcilers know, as the metrics want it. */
export function statesOf({ reconcilers }: Controller): IdentityState[] {
  return reconcilers.map(({ identity, status }) => ({
    namespace: identity.metadata.namespace,
    name: identity.metadata.name,
    mesh: meshOf(identity),
    ready: status?.conditions.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false,
    notBefore: dateOf(status?.notBefore),
    notAfter: dateOf(status?.notAfter),
    renewalTime: dateOf(status?.renewalTime),
  }));
}

/** What the reconcilers and meshes know, as the probes want it. */
export function healthOf(controller: Controller, meshes: ReadonlyMap<string, OpenMesh>): Health {
  const away = [...meshes.values()].flatMap(({ name, connection }) =>
    connection?.connected === false ? [`mesh ${name}: ${connection.error.message}`] : [],
  );
  const notReady = controller.reconcilers.flatMap(({ identity, status }) => {
    const ready = status?.conditions.find(({ type }) => type === "Ready");
    return ready?.status === "True"
      ? []
      : [`identity ${keyOf(identity)}: ${ready?.message ?? "not looked at yet"}`];
  });
  return { synced: controller.synced, concerns: [...away, ...notReady] };
}

function dateOf(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}
