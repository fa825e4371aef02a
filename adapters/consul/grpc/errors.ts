import { type ServiceError, status } from "@grpc/grpc-js";
import { MeshError } from "../../../src/mesh/adapter.ts";
import { grpcError, isServiceError } from "../../../src/mesh/kit/grpc/errors.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import {
  aclsOff,
  badBearer,
  badBinding,
  caNotReady,
  type Meaning,
  meshErrorOf,
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

function errorOf(error: unknown, server: string, secrets: readonly string[], from: readonly Kind[]): unknown {
  if (!isServiceError(error)) return error;
  const kind = from.find((one) => isOf(error, one));
  if (kind === undefined) return grpcError(error, { name: `the server ${server}` }, { secrets });
  const { statuses: _, text: __, ...meaning } = kind;
  // Without `cause`: details and stack of a ServiceError are the peer's text, and may hold its tokens.
  return meshErrorOf(meaning, `${status[error.code]}: ${sanitizePeerText(error.details, { secrets })}`);
}

/** Whether another server may do better: this one does not answer, or knows no leader. */
export function blamesServer(error: unknown): boolean {
  if (MeshError.is(error)) return error.code === "ATTACHE_MESH_TIMEOUT";
  return (
    isServiceError(error) &&
    (isOf(error, { statuses: [status.UNAVAILABLE] }) || isOf(error, { statuses: anything, text: leaderless }))
  );
}

/** The datacenter of servers that have refused a CSR because it was for another one. */
export function toldDatacenter(error: unknown): string | undefined {
  if (!MeshError.is(error)) return undefined;
  return /different datacenter: .*, we are ([\w-]{1,63})\)$/.exec(error.problem)?.[1];
}

interface Kind extends Meaning {
  readonly statuses: readonly status[];
  readonly text?: RegExp;
}

function isOf({ code, details }: ServiceError, { statuses, text }: Pick<Kind, "statuses" | "text">): boolean {
  return statuses.includes(code) && (text === undefined || text.test(details));
}

/** Consul's RPC between its servers passes errors on as text, of one status or another. */
const anything = [status.UNKNOWN, status.INTERNAL, status.UNAVAILABLE];

const leaderless = /leader|consistent reads/i;

/** The first that fits; see agent/grpc-external/services in Consul's sources. */
const kinds: readonly Kind[] = [
  { statuses: [status.UNAUTHENTICATED], text: /must be provided/, ...noToken },
  { statuses: [status.UNAUTHENTICATED], ...unknownToken },
  { statuses: [status.PERMISSION_DENIED], ...notAllowed },
  {
    statuses: [status.RESOURCE_EXHAUSTED, ...anything],
    text: /rate limit/i,
    code: "ATTACHE_MESH_RATE_LIMITED",
    meaning: "Consul asks for fewer requests",
    remedy:
      "Nothing at once: attaché slows down by itself. If it stays, raise csr_max_per_second of Consul's CA or limits.request_limits of its servers, or lower `csrMaxPerSecond` to leave others more.",
  },
  { statuses: [status.FAILED_PRECONDITION], ...caNotReady },
  { statuses: anything, text: leaderless, ...noLeader },
  { statuses: anything, text: /No path to datacenter/i, ...noPath },
  {
    statuses: [status.INTERNAL],
    text: /sign leaf/,
    code: "ATTACHE_MESH_UNAVAILABLE",
    meaning: "Consul's CA cannot sign now",
    remedy:
      'Look for "failed to sign leaf certificate" in the log of the leading server; its CA may be expired, not ready or away: consul connect ca get-config. attaché retries by itself.',
  },
  {
    statuses: [status.INVALID_ARGUMENT],
    text: /different datacenter/,
    code: "ATTACHE_MESH_IDENTITY_REFUSED",
    meaning: "these servers sign for another datacenter",
    remedy:
      "Correct `datacenter`, or leave it out; for services of several datacenters configure a mesh for each.",
  },
  {
    statuses: [status.UNIMPLEMENTED],
    code: "ATTACHE_MESH_MALFORMED",
    meaning: "what answers does not sign certificates over gRPC",
    remedy:
      "Name servers in `addresses`, of Consul 1.13 or later, and not client agents; for an agent there is `mode: http`.",
  },
];

const loginKinds: readonly Kind[] = [
  { statuses: [status.FAILED_PRECONDITION, ...anything], text: /ACL support/i, ...aclsOff },
  { statuses: [status.INVALID_ARGUMENT], text: /auth method .* not found/, ...noSuchMethod },
  { statuses: [status.PERMISSION_DENIED], ...notBound },
  { statuses: [status.INTERNAL], text: /create token/, ...badBinding },
  { statuses: [status.UNAUTHENTICATED], ...badBearer },
];
