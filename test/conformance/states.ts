import type { ConnectionState, MeshErrorCode } from "../../src/mesh/adapter.ts";

const absences: ReadonlySet<MeshErrorCode> = new Set<MeshErrorCode>([
  "ATTACHE_MESH_UNREACHABLE",
  "ATTACHE_MESH_UNAVAILABLE",
  "ATTACHE_MESH_TIMEOUT",
]);

export function isConnected(state: ConnectionState): boolean {
  return state.connected;
}

export function isAway(state: ConnectionState): boolean {
  return !state.connected && absences.has(state.error.code) && state.error.retryable;
}
