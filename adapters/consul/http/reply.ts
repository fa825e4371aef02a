import type { IncomingHttpHeaders } from "node:http";
import { MeshError, type MeshErrorOptions } from "../../../src/mesh/adapter.ts";
import { peerText } from "../../../src/mesh/peer-text.ts";

/** One whole answer of the HTTP API. */
export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** May hold a private key: not for messages, unless there is a `problem`. */
  readonly text: string;
  /** What the status says, unless it is 2xx. */
  readonly problem: MeshError | undefined;
}

/** Reads a status and Consul's text beside it; `undefined` if all is well. */
export function problemOf(
  { status, headers, text }: Omit<Reply, "problem">,
  token: string | undefined,
): MeshError | undefined {
  if (status >= 200 && status < 300) return undefined;
  const said = peerText(text, token === undefined ? {} : { secrets: [token] });
  const { code, meaning, ...options } = kinds.find((kind) => kind.isIt(status, text)) ?? malformed;
  return new MeshError(code, `${meaning} (status ${status}${said === "" ? "" : `: ${said}`})`, {
    ...(options.remedy !== undefined && { remedy: options.remedy }),
    ...retryAfter(headers),
  });
}

interface Kind {
  readonly isIt: (status: number, text: string) => boolean;
  readonly code: MeshError["code"];
  readonly meaning: string;
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
  {
    isIt: (status, text) => status >= 400 && /ACL not found/i.test(text),
    code: "ATTACHE_MESH_UNAUTHENTICATED",
    meaning: "Consul does not know the ACL token",
    remedy:
      "Check `token`, `tokenFile` or CONSUL_HTTP_TOKEN(_FILE): the token was deleted, has expired, or belongs to another Consul. A new one may take half a minute to be known everywhere.",
  },
  {
    isIt: (status, text) => status === 403 || (status === 500 && /Permission denied/i.test(text)),
    code: "ATTACHE_MESH_FORBIDDEN",
    meaning: "the ACL token may not do this",
    remedy:
      'Give attaché\'s token a policy with service "NAME" { policy = "write" } for each service that it obtains, or set a token if there is none.',
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
  {
    isIt: (status, text) => status >= 500 && /No path to datacenter/i.test(text),
    code: "ATTACHE_MESH_UNAVAILABLE",
    meaning: "Consul knows no way to the datacenter",
    remedy: "Correct `datacenter`, or look at the WAN federation: consul members -wan.",
  },
  {
    isIt: (status, text) => status >= 500 && /leader/i.test(text),
    code: "ATTACHE_MESH_UNAVAILABLE",
    meaning: "Consul has no leader",
    remedy: "Look at the servers: consul operator raft list-peers. attaché retries by itself.",
  },
  {
    isIt: (status, text) => status >= 500 && /\bCA\b|Connect (?:is|must)/i.test(text),
    code: "ATTACHE_MESH_UNAVAILABLE",
    meaning: "Consul's CA is not ready",
    remedy:
      "Check that Connect is enabled on the servers (connect { enabled = true }) and its CA: consul connect ca get-config. attaché retries by itself.",
  },
  {
    isIt: (status) => status >= 500,
    code: "ATTACHE_MESH_UNAVAILABLE",
    meaning: "Consul cannot answer now",
  },
];

/** Seconds only, as Consul and its proxies write it (RFC 9110, section 10.2.3). */
function retryAfter(headers: IncomingHttpHeaders): Pick<MeshErrorOptions, "retryAfterMs"> {
  const seconds = /^\d{1,6}$/.exec(headers["retry-after"] ?? "")?.[0];
  return seconds === undefined ? {} : { retryAfterMs: Number(seconds) * 1000 };
}
