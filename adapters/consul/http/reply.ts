import type { IncomingHttpHeaders } from "node:http";
import { MeshError, type MeshErrorOptions } from "../../../src/mesh/adapter.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import {
  aclsOff,
  badBearer,
  caNotReady,
  enterpriseOnly,
  type Meaning,
  noLeader,
  noPath,
  noSuchMethod,
  notAllowed,
  notBound,
  unknownToken,
} from "../meanings.ts";

/** One whole answer of the HTTP API. */
export interface Reply {
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
  { status, headers, text }: Omit<Reply, "problem">,
  secrets: readonly string[] = [],
  isLogin = false,
): MeshError | undefined {
  if (status >= 200 && status < 300) return undefined;
  const said = sanitizePeerText(text, { secrets });
  const { code, meaning, ...options } =
    (isLogin ? [...loginKinds, ...kinds] : kinds).find((kind) => kind.isIt(status, text)) ?? malformed;
  return new MeshError(code, `${meaning} (status ${status}${said === "" ? "" : `: ${said}`})`, {
    ...(options.remedy !== undefined && { remedy: options.remedy }),
    ...retryAfter(headers),
  });
}

interface Kind extends Omit<Meaning, "remedy"> {
  readonly isIt: (status: number, text: string) => boolean;
  readonly remedy?: string;
}

const malformed: Kind = {
  isIt: () => true,
  code: "ATTACHE_MESH_MALFORMED",
  meaning: "this is not how Consul's HTTP API answers",
  remedy:
    "Check that the address is that of a Consul agent's HTTP API and of nothing in front of it, and its version.",
};

/** The first that fits; before its status, an error is known by the text that it keeps through Consul's RPC. */
const kinds: readonly Kind[] = [
  { isIt: (status, text) => status === 400 && text.includes("Consul Enterprise feature"), ...enterpriseOnly },
  { isIt: (status, text) => status >= 400 && /ACL not found/i.test(text), ...unknownToken },
  {
    isIt: (status, text) => status === 403 || (status === 500 && /Permission denied/i.test(text)),
    ...notAllowed,
  },
  {
    isIt: (status) => status === 401,
    code: "ATTACHE_MESH_UNAUTHENTICATED",
    meaning: "Consul does not accept the request's credentials",
  },
  {
    isIt: (status, text) => status === 429 || (status >= 500 && /Rate limit reached/i.test(text)),
    code: "ATTACHE_MESH_RATE_LIMITED",
    meaning: "Consul asks for fewer requests",
    remedy:
      "Nothing at once: attaché backs off. If it stays, raise Consul's limits.request_limits or limits.http_max_conns_per_client (attaché needs one connection an identity, and one more).",
  },
  {
    isIt: (status, text) => status === 400 && /HTTP request to an HTTPS server/i.test(text),
    code: "ATTACHE_MESH_TLS",
    meaning: "Consul expects TLS on this port",
    remedy: "Write `address` with https://, or set CONSUL_HTTP_SSL=true.",
  },
  { isIt: (status, text) => status >= 500 && /No path to datacenter/i.test(text), ...noPath },
  { isIt: (status, text) => status >= 500 && /leader/i.test(text), ...noLeader },
  { isIt: (status, text) => status >= 500 && /\bCA\b|Connect (?:is|must)/i.test(text), ...caNotReady },
  {
    isIt: (status) => status >= 500,
    code: "ATTACHE_MESH_UNAVAILABLE",
    meaning: "Consul cannot answer now",
  },
];

const loginKinds: readonly Kind[] = [
  { isIt: (status) => status === 401, ...aclsOff },
  { isIt: (status, text) => status === 403 && text.includes("auth method"), ...noSuchMethod },
  { isIt: (status) => status === 403, ...notBound },
  { isIt: (status, text) => status === 500 && bearerFault.test(text), ...badBearer },
];

/** Of a method of type jwt the first, of type kubernetes the others (agent/consul/authmethod). */
const bearerFault = /claim|token|lookup failed|JWT/;

/** Seconds only, as Consul and its proxies write it (RFC 9110, section 10.2.3). */
function retryAfter(headers: IncomingHttpHeaders): Pick<MeshErrorOptions, "retryAfterMs"> {
  const seconds = /^\d{1,6}$/.exec(headers["retry-after"] ?? "")?.[0];
  return seconds === undefined ? {} : { retryAfterMs: Number(seconds) * 1000 };
}
