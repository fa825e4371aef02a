import { Gauge, type Registry } from "prom-client";
import { type IdentityState, isReady, type MeshState } from "./state.ts";

/** Sets the gauges to how things are; identities of which there are too many for series of their own are still counted. */
export type Observe = (
  meshes: readonly MeshState[],
  identities: readonly IdentityState[],
  hasSeries: boolean,
) => void;

/** @param labelOf see `countEvents`. */
export function gaugeState(registers: Registry[], labelOf: (mesh: string) => string): Observe {
  const connected = new Gauge({
    name: "attache_mesh_connected",
    help: "1 while the mesh's control plane or agent is there, 0 while it is not.",
    labelNames: ["mesh"],
    registers,
  });
  const count = new Gauge({
    name: "attache_identities",
    help: "MeshCertificates, by whether what is published for them is good.",
    labelNames: ["mesh", "ready"],
    registers,
  });
  const earliest = new Gauge({
    name: "attache_earliest_leaf_not_after_timestamp_seconds",
    help: "When the first of the mesh's published leaves ends.",
    labelNames: ["mesh"],
    registers,
  });
  const withoutSeries = new Gauge({
    name: "attache_identities_without_series",
    help: "MeshCertificates that have no series of their own, because there are too many.",
    registers,
  });

  return (meshes, identities, hasSeries) => {
    for (const gauge of [connected, count, earliest]) gauge.reset();
    const summaries = new Map(meshes.map(({ name }) => [name, { true: 0, false: 0, firstEnd: Infinity }]));
    for (const identity of identities) {
      const mesh = labelOf(identity.mesh);
      const summary = summaries.get(mesh) ?? { true: 0, false: 0, firstEnd: Infinity };
      summary[`${isReady(identity)}`] += 1;
      const end = Date.parse(identity.status?.notAfter ?? "");
      if (end < summary.firstEnd) summary.firstEnd = end;
      summaries.set(mesh, summary);
    }
    for (const [mesh, { firstEnd, ...counts }] of summaries) {
      for (const ready of ["true", "false"] as const) count.set({ mesh, ready }, counts[ready]);
      if (firstEnd < Infinity) earliest.set({ mesh }, firstEnd / 1_000);
    }
    for (const { name: mesh, connection } of meshes) {
      if (connection !== undefined) connected.set({ mesh }, connection.connected ? 1 : 0);
    }
    withoutSeries.set(hasSeries ? 0 : identities.length);
  };
}
