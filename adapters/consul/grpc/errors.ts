import { status } from "@grpc/grpc-js";
import { MeshError } from "../../../src/mesh/adapter.ts";
import { grpcError, isServiceError } from "../../../src/mesh/kit/grpc/errors.ts";
import { type ErrorRow, meshErrorOf, rowFor } from "../../../src/mesh/kit/errors.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import {
  aclsOff,
  badBearer,
  badBinding,
  caNotReady,
  noLeader,
  noPath,
  noSuchMethod,
  notAllowed,
  notBound,
  noToken,
  unknownToken,
} from "../meanings.ts";

/**
 * Why a call to a server failed, as an error of the mesh; what is not the mesh's is handed back as it is.
 * @param secrets what was sent and must not come back.
 */
export function consulError(error: unknown, server: string, secrets: readonly string[]): unknown {
  return errorOf(error, server, secrets, kinds);
}

/** As {@link consulError}, of a login. */
export function loginError(error: unknown, server: string, secrets: readonly string[]): unknown {
  return errorOf(error, server, secrets, [...loginKinds, ...kinds]);
}

function errorOf(
  error: unknown,
  server: string,
  secrets: readonly string[],
  from: readonly ErrorRow[],
): unknown {
  if (!isServiceError(error)) return error;
  const row = rowFor(from, error.code, error.details);
  if (row === undefined) return grpcError(error, { name: `the server ${server}` }, { secrets });
  // Without `cause`: details and stack of a ServiceError are the peer's text, and may hold its tokens.
  return meshErrorOf(row, ` (${status[error.code]}: ${sanitizePeerText(error.details, { secrets })})`);
}

/** Whether another server may do better: this one does not answer, or knows no leader. */
export function blamesServer(error: unknown): boolean {
  if (MeshError.is(error)) return error.code === "ATTACHE_MESH_TIMEOUT";
  return isServiceError(error) && rowFor(serverFaults, error.code, error.details) !== undefined;
}

/** The datacenter of servers that have refused a CSR because it was for another one. */
export function reportedDatacenter(error: unknown): string | undefined {
  if (!MeshError.is(error)) return undefined;
  return /different datacenter: .*, we are ([\w-]{1,63})\)$/.exec(error.problem)?.[1];
}

/** Consul's RPC between its servers passes errors on as text, of one status or another. */
const anything = [status.UNKNOWN, status.INTERNAL, status.UNAVAILABLE];

const leaderless = /leader|consistent reads/i;

const serverFaults: readonly ErrorRow[] = [
  { status: [status.UNAVAILABLE], ...noLeader },
  { status: anything, text: leaderless, ...noLeader },
];

/** The first that fits; see agent/grpc-external/services in Consul's sources. */
const kinds: readonly ErrorRow[] = [
  { status: [status.UNAUTHENTICATED], text: /must be provided/, ...noToken },
  { status: [status.UNAUTHENTICATED], ...unknownToken },
  { status: [status.PERMISSION_DENIED], ...notAllowed },
  {
    status: [status.RESOURCE_EXHAUSTED, ...anything],
    text: /rate limit/i,
    code: "ATTACHE_MESH_RATE_LIMITED",
    problem: "Consul asks for fewer requests",
    remedy:
      "Nothing at once: attaché slows down by itself. If it stays, raise csr_max_per_second of Consul's CA or limits.request_limits of its servers, or lower `csrMaxPerSecond` to leave others more.",
  },
  { status: [status.FAILED_PRECONDITION], ...caNotReady },
  { status: anything, text: leaderless, ...noLeader },
  { status: anything, text: /No path to datacenter/i, ...noPath },
  {
    status: [status.INTERNAL],
    text: /sign leaf/,
    code: "ATTACHE_MESH_UNAVAILABLE",
    problem: "Consul's CA cannot sign now",
    remedy:
      'Look for "failed to sign leaf certificate" in the log of the leading server; its CA may be expired, not ready or away: consul connect ca get-config. attaché retries by itself.',
  },
  {
    status: [status.INVALID_ARGUMENT],
    text: /different datacenter/,
    code: "ATTACHE_MESH_IDENTITY_REFUSED",
    problem: "these servers sign for another datacenter",
    remedy:
      "Correct `datacenter`, or leave it out; for services of several datacenters configure a mesh for each.",
  },
  {
    status: [status.UNIMPLEMENTED],
    code: "ATTACHE_MESH_MALFORMED",
    problem: "what answers does not sign certificates over gRPC",
    remedy:
      "Name servers in `addresses`, of Consul 1.13 or later, and not client agents; for an agent there is `mode: http`.",
  },
];

const loginKinds: readonly ErrorRow[] = [
  { status: [status.FAILED_PRECONDITION, ...anything], text: /ACL support/i, ...aclsOff },
  { status: [status.INVALID_ARGUMENT], text: /auth method .* not found/, ...noSuchMethod },
  { status: [status.PERMISSION_DENIED], ...notBound },
  { status: [status.INTERNAL], text: /create token/, ...badBinding },
  { status: [status.UNAUTHENTICATED], ...badBearer },
];
