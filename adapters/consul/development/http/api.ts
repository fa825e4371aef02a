import type { Clock } from "../../../../src/mesh/adapter.ts";
import type { Authority, AuthorityRoot, Issued } from "../../../../src/mesh/development/authority.ts";
import type { Indexed } from "./indexed.ts";
import type { Leaves } from "./leaves.ts";

/** One request, as far as the API looks at it. */
export interface ApiRequest {
  /** Without query: "/v1/agent/connect/ca/roots". */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string | undefined;
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** For tests of clients: how many bytes of the body are sent before the connection breaks. */
  readonly cutAt?: number;
}

interface ApiOptions {
  readonly authority: Authority;
  readonly clock: Clock;
  readonly datacenter: string;
  readonly leaves: Leaves;
  readonly roots: Indexed<readonly AuthorityRoot[]>;
  /** The one ACL token that is accepted; `undefined` while ACLs are off. */
  readonly acl: { readonly token: string | undefined };
}

/** What a Consul agent answers, in its own words and forms (agent/http_register.go, agent/agent_endpoint.go). */
export async function answer(request: ApiRequest, options: ApiOptions): Promise<Answer> {
  const { path, query, token } = request;
  const invalid = invalidQuery(query, options.datacenter);
  if (invalid !== undefined) return invalid;
  const service = /^\/v1\/agent\/connect\/ca\/leaf\/([^/]+)$/.exec(path)?.[1];
  if (service !== undefined) return leafAnswer(decodeURIComponent(service), request, options);
  switch (path) {
    case "/v1/agent/connect/ca/roots":
    case "/v1/connect/ca/roots": {
      await held(options.roots, request, options.clock);
      return json(rootsBody(options), { "x-consul-index": String(options.roots.index) });
    }
    case "/v1/status/leader":
      return json("127.0.0.1:8300");
    case "/v1/acl/token/self":
      return tokenAnswer(token, options.acl.token);
    default:
      return text(404, "Invalid URL path: not a recognized HTTP API endpoint");
  }
}

const enterpriseOnly = [
  ["ns", "Namespaces"],
  ["partition", "Partitions"],
] as const;

function invalidQuery(query: URLSearchParams, datacenter: string): Answer | undefined {
  if (!/^\d+$/.test(query.get("index") ?? "0")) return text(400, "Invalid index");
  if (waitMs(query) === undefined) return text(400, "Invalid wait time");
  for (const [name, plural] of enterpriseOnly) {
    if (!query.has(name)) continue;
    return text(400, `Invalid query parameter: "${name}" - ${plural} are a Consul Enterprise feature`);
  }
  return (query.get("dc") ?? datacenter) === datacenter ? undefined : text(500, "No path to datacenter");
}

async function leafAnswer(service: string, request: ApiRequest, options: ApiOptions): Promise<Answer> {
  const { acl, leaves, clock } = options;
  if (acl.token !== undefined && request.token !== acl.token) {
    return request.token === undefined
      ? text(403, `Permission denied: anonymous token lacks permission 'service:write' on "${service}"`)
      : text(403, "ACL not found");
  }
  const leaf = await leaves.of(service);
  await held(leaf, request, clock);
  return json(leafBody(service, leaf), { "x-consul-index": String(leaf.index) });
}

function tokenAnswer(token: string | undefined, accepted: string | undefined): Answer {
  if (accepted === undefined) return text(401, "ACL support disabled");
  return token === accepted
    ? json({ AccessorID: "8d3ae1f5-9d0d-4e4c-a3b7-1f5f2d5c6a70", SecretID: token })
    : text(403, "token does not exist: ACL not found");
}

/** A blocking query, with the sixteenth that Consul adds to its time (agent/consul/rpc.go). */
async function held(value: Indexed<unknown>, { query, signal }: ApiRequest, clock: Clock): Promise<void> {
  const longestMs = (waitMs(query) ?? 0) * (1 + clock.random() / 16);
  await value.beyond(BigInt(query.get("index") ?? 0), longestMs, clock, signal);
}

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Five minutes by default and ten at most; `undefined` for what is no duration. */
function waitMs(query: URLSearchParams): number | undefined {
  const { amount, unit } = /^(?<amount>\d+)(?<unit>ms|s|m|h)$/.exec(query.get("wait") ?? "5m")?.groups ?? {};
  if (amount === undefined || !isUnit(unit)) return undefined;
  return Math.min(Number(amount) * units[unit], 600_000);
}

function isUnit(text: string | undefined): text is keyof typeof units {
  return text !== undefined && Object.hasOwn(units, text);
}

function leafBody(service: string, { value: { key, chain }, index }: Indexed<Issued>): object {
  const [leaf] = chain;
  return {
    SerialNumber: leaf.serialNumber.toLowerCase().match(/../g)?.join(":"),
    CertPEM: chain.map((certificate) => certificate.toPem()).join(""),
    PrivateKeyPEM: key.export({ type: "sec1", format: "pem" }),
    Service: service,
    ServiceURI: leaf.uris[0],
    ValidAfter: leaf.notBefore.toISOString(),
    ValidBefore: leaf.notAfter.toISOString(),
    CreateIndex: Number(index),
    ModifyIndex: Number(index),
  };
}

function rootsBody({ authority, roots }: ApiOptions): object {
  return {
    ActiveRootID: roots.value.filter(({ active }) => active).map(idOf)[0],
    TrustDomain: authority.trustDomain,
    Roots: roots.value.map((root) => ({
      ID: idOf(root),
      Name: "Development CA Root Cert",
      SerialNumber: Number.parseInt(root.certificate.serialNumber.slice(0, 12), 16),
      NotBefore: root.certificate.notBefore.toISOString(),
      NotAfter: root.certificate.notAfter.toISOString(),
      RootCert: root.certificate.toPem(),
      // As Go writes an empty slice that was never made.
      IntermediateCerts: root.intermediates.length > 0 ? root.intermediates.map((one) => one.toPem()) : null,
      Active: root.active,
      PrivateKeyType: "ec",
      PrivateKeyBits: 256,
    })),
  };
}

function idOf({ certificate }: AuthorityRoot): string {
  return certificate.fingerprint.slice(0, 40).match(/../g)?.join(":") ?? "";
}

function json(body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return {
    status: 200,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
}

function text(status: number, body: string): Answer {
  return { status, headers: { "content-type": "text/plain; charset=utf-8" }, body };
}
