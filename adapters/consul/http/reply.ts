import type { IncomingHttpHeaders } from "node:http";
import type { MeshError, MeshErrorOptions } from "../../../src/mesh/adapter.ts";
import { type ErrorRow, type Meaning, meshErrorOf, rowFor } from "../../../src/mesh/kit/errors.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import {
  aclsOff,
  badBearer,
  caNotReady,
  enterpriseOnly,
  noLeader,
  noPath,
  noSuchMethod,
  notAllowed,
  notBound,
  unknownToken,
} from "../meanings.ts";

/** One whole answer of the HTTP API. */
export interface HttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** May hold a private key: not for messages, unless there is a `problem`. */
  readonly text: string;
  /** What the status says, unless it is 2xx. */
  readonly problem: MeshError | undefined;
}

/**
 * Reads a status and Consul's text beside it; `undefined` if all is well.
 * @param secrets what was sent and must not come back.
 * @param isLogin whether it answers a login, which says other things by the same statuses.
 */
export function problemOf(
  { status, headers, text }: Omit<HttpReply, "problem">,
  secrets: readonly string[] = [],
  isLogin = false,
): MeshError | undefined {
  if (status >= 200 && status < 300) return undefined;
  const said = sanitizePeerText(text, { secrets });
  const row = rowFor(isLogin ? [...loginRows, ...rows] : rows, status, text) ?? malformed;
  return meshErrorOf(row, ` (status ${status}${said === "" ? "" : `: ${said}`})`, retryAfter(headers));
}

const malformed: ErrorRow = {
  code: "ATTACHE_MESH_MALFORMED",
  problem: "this is not how Consul's HTTP API answers",
  remedy:
    "Check that the address is that of a Consul agent's HTTP API and of nothing in front of it, and its version.",
};

const rateLimited: Meaning = {
  code: "ATTACHE_MESH_RATE_LIMITED",
  problem: "Consul asks for fewer requests",
  remedy:
    "Nothing at once: attaché backs off. If it stays, raise Consul's limits.request_limits or limits.http_max_conns_per_client (attaché needs one connection an identity, and one more).",
};

/**
 * The first that fits; before its status, an error is known by the text that it keeps through Consul's RPC.
 */
const rows: readonly ErrorRow[] = [
  { status: [400], text: /Consul Enterprise feature/, ...enterpriseOnly },
  { statusFrom: 400, text: /ACL not found/i, ...unknownToken },
  { status: [403], ...notAllowed },
  { status: [500], text: /Permission denied/i, ...notAllowed },
  {
    status: [401],
    code: "ATTACHE_MESH_UNAUTHENTICATED",
    problem: "Consul, or a gateway before it, does not accept the request's credentials",
    remedy: "Give the gateway's user and password in CONSUL_HTTP_AUTH (USER:PASSWORD), or correct them.",
  },
  { status: [429], ...rateLimited },
  { statusFrom: 500, text: /Rate limit reached/i, ...rateLimited },
  {
    status: [400],
    text: /HTTP request to an HTTPS server/i,
    code: "ATTACHE_MESH_TLS",
    problem: "Consul expects TLS on this port",
    remedy: "Write `address` with https://, or set CONSUL_HTTP_SSL=true.",
  },
  { statusFrom: 500, text: /No path to datacenter/i, ...noPath },
  { statusFrom: 500, text: /leader/i, ...noLeader },
  { statusFrom: 500, text: /\bCA\b|Connect (?:is|must)/i, ...caNotReady },
  { statusFrom: 500, code: "ATTACHE_MESH_UNAVAILABLE", problem: "Consul cannot answer now" },
];

/**
 * Of a rejected token a method of type jwt says the first, one of type kubernetes the others
 * (agent/consul/authmethod).
 */
const loginRows: readonly ErrorRow[] = [
  { status: [401], ...aclsOff },
  { status: [403], text: /auth method/, ...noSuchMethod },
  { status: [403], ...notBound },
  { status: [500], text: /claim|token|lookup failed|JWT/, ...badBearer },
];

/** Seconds only, as Consul and its proxies write it (RFC 9110, section 10.2.3). */
function retryAfter(headers: IncomingHttpHeaders): Pick<MeshErrorOptions, "retryAfterMs"> {
  const seconds = /^\d{1,6}$/.exec(headers["retry-after"] ?? "")?.[0];
  return seconds === undefined ? {} : { retryAfterMs: Number(seconds) * 1000 };
}
