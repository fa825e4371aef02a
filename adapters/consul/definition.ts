import { z } from "zod";
import { escapeSegment } from "../../src/credentials/spiffe-id.ts";
import { characters } from "../../src/text/characters.ts";
import { readAddress, type WrittenAddress } from "../../src/mesh/kit/address.ts";

export const kind = "consul";

export const httpAddressHint =
  'like "https://127.0.0.1:8501", "https://gateway.example/consul", "127.0.0.1:8500" or "unix:///run/consul.sock", without user and query; a user and password belong into CONSUL_HTTP_AUTH';

export const serverAddressHint =
  'like "consul-server.consul.svc:8502", "https://10.0.0.1:8503" or "unix:///run/consul-grpc.sock", without user, path or query';

/** Reads `address` and `CONSUL_HTTP_ADDR`; the client itself adds `/v1`. */
export function httpAddressOf(text: string): WrittenAddress | undefined {
  const address = readAddress(text, { schemes: ["http", "https", "unix"], hasPath: true });
  return address === undefined || /(?:^|\/)v1$/.test(address.path) ? undefined : address;
}

/** Reads one of `addresses`, and `CONSUL_GRPC_ADDR`. */
export function serverAddressOf(text: string): WrittenAddress | undefined {
  const address = readAddress(text, { schemes: ["http", "https", "unix"], hasPath: true });
  return address?.path === "" ? address : undefined;
}

/** Whether nothing that is sent to this address is encrypted, whatever the other settings say. */
export function isPlainText(address: string): boolean {
  return /^\s*(?:http|unix):/.test(address);
}

const path = z.string().min(1, "must be the path of a file");

const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][-\w]{0,63}$/,
    "must be a name as Consul has it: letters, digits, hyphens, underscores",
  );

const tls = z
  .strictObject({
    caFile: path
      .optional()
      .describe(
        "PEM file with the CAs that may have signed Consul's server certificate. Default: `CONSUL_CACERT`, with mode `grpc` first `CONSUL_GRPC_CACERT`; else the CAs that Node trusts.",
      ),
    caPath: path
      .optional()
      .describe(
        "Folder of such files, used beside `caFile`; every file in it counts. Default: `CONSUL_CAPATH`, with mode `grpc` first `CONSUL_GRPC_CAPATH`.",
      ),
    certFile: path
      .optional()
      .describe(
        "PEM file with attaché's client certificate, where Consul has `verify_incoming`. Default: `CONSUL_CLIENT_CERT`.",
      ),
    keyFile: path.optional().describe("PEM file with its key. Default: `CONSUL_CLIENT_KEY`."),
    serverName: z
      .string()
      .min(1)
      .optional()
      .describe(
        "The name that Consul's certificate must carry, e.g. `server.dc1.consul`. Default: `CONSUL_TLS_SERVER_NAME`, else the host of the address.",
      ),
    insecureSkipVerify: z
      .boolean()
      .optional()
      .describe(
        "Accept any certificate. An attacker between attaché and Consul can then read the token and choose keys and roots. Use it for tests only. Default: the opposite of `CONSUL_HTTP_SSL_VERIFY`, else false.",
      ),
  })
  .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), {
    error: "certFile and keyFile belong together: give both or neither",
  });

/** Where a pod finds the token of its own ServiceAccount. */
const podTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const enterprise = {
  namespace: name
    .optional()
    .describe("The namespace of the auth method (Consul Enterprise). Default: `CONSUL_NAMESPACE`."),
  partition: name
    .optional()
    .describe("The admin partition of the auth method (Consul Enterprise). Default: `CONSUL_PARTITION`."),
};

const authMethod = z
  .string()
  .regex(
    /^[\w-]{1,128}$/,
    "must be the name of an auth method: at most 128 letters, digits, hyphens and underscores",
  );

const login = z.strictObject({
  authMethod: authMethod.describe("Name of the auth method, of type `jwt` or `kubernetes`."),
  bearerTokenFile: path
    .default(podTokenFile)
    .describe("File with the token that Consul is shown, by default that of the pod; read at each login."),
  ...enterprise,
});

const serviceAccountLogin = z.strictObject({
  authMethod: authMethod.describe(
    "Name of the auth method that identities with a `serviceAccount` log in with.",
  ),
  audience: z
    .string()
    .min(1)
    .optional()
    .describe(
      "The audience of the tokens that are minted, one of the `BoundAudiences` of a method of type `jwt`. Leave it out for the type `kubernetes`, which reviews a token without one: then it is also good for the API server, and goes out over verified TLS only.",
    ),
  ...enterprise,
});

/** What both modes have in common. */
const common = {
  token: z
    .string()
    .min(1)
    .optional()
    .describe(
      "ACL token with `service:write` for each service. Better in a file. Default: `CONSUL_HTTP_TOKEN`.",
    ),
  tokenFile: path
    .optional()
    .describe(
      "File that holds the ACL token; read before each request, so that a new token needs no restart. Default: `CONSUL_HTTP_TOKEN_FILE`.",
    ),
  login: login
    .optional()
    .describe("Log in with an auth method for an ACL token, in place of `token` and `tokenFile`."),
  datacenter: z
    .string()
    .regex(/^[\w-]{1,63}$/, 'must be the name of a Consul datacenter, e.g. "dc1"')
    .optional()
    .describe("The datacenter to ask for. Default: that of the agent or servers."),
  tls: tls
    .optional()
    .describe(
      "How Consul proves itself to attaché, and attaché to Consul. After a failed handshake the files are read again, so that renewed ones need no restart.",
    ),
};

interface Common {
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly login?: object | undefined;
}

/** For `refine`: one source of tokens at most. */
const hasOneToken = ({ token, tokenFile, login }: Common) =>
  [token, tokenFile, login].filter((one) => one !== undefined).length <= 1;
const oneToken = { error: "give one of token, tokenFile and login", path: ["token"] };

export const grpcSettings = z
  .strictObject({
    mode: z
      .literal("grpc")
      .default("grpc")
      .describe(
        "How Consul is asked. `grpc`: the servers themselves, which sign a CSR for a key that attaché makes; no agent is needed.",
      ),
    addresses: z
      .array(
        z.string().refine((text) => serverAddressOf(text) !== undefined, {
          error: `must be ${serverAddressHint}`,
        }),
      )
      .min(1)
      .refine((addresses) => new Set(addresses.map(isPlainText)).size <= 1, {
        error: 'must all be encrypted, or all begin with "http://" or "unix://"',
      })
      .optional()
      .describe(
        "Servers, as `HOST:PORT`, whose gRPC port speaks TLS; all addresses of a name count. `http://HOST:PORT` for one that speaks plain text, `unix:///PATH` for a Unix socket, likewise in plain text. Port 8503 by default, 8502 with `http://`. Default: `CONSUL_GRPC_ADDR`, else `127.0.0.1:8503`.",
      ),
    serverWatch: z
      .boolean()
      .default(true)
      .describe(
        "Whether servers that Consul names stand in, at the same port, when those in `addresses` are away. Turn it off where attaché cannot reach them, behind a load balancer.",
      ),
    csrMaxPerSecond: z
      .int()
      .min(1)
      .max(10_000)
      .default(47)
      .describe(
        "How many CSRs a second are sent at most. Stay below the servers' `csr_max_per_second`, which is 50 by default.",
      ),
    ...common,
    serviceAccountLogin: serviceAccountLogin
      .optional()
      .describe("How an identity with a `serviceAccount` logs in as that."),
  })
  .refine(hasOneToken, oneToken)
  .refine(({ addresses = [], tls }) => tls === undefined || !addresses.some(isPlainText), {
    error: 'has no effect on addresses that are not encrypted: leave "http://" or tls out',
    path: ["tls"],
  });

export const httpSettings = z
  .strictObject({
    mode: z
      .literal("http")
      .describe(
        "How Consul is asked. `http`: leaf, key and roots from one agent (or server) over its HTTP API.",
      ),
    address: z
      .string()
      .refine((text) => httpAddressOf(text) !== undefined, { error: `must be ${httpAddressHint}` })
      .optional()
      .describe(
        "Where the HTTP API listens: `http://…`, `https://…`, `unix:///…` or `HOST:PORT`, with the path of a gateway behind it if there is one. `HOST:PORT` is https where `tls` is given or `CONSUL_HTTP_SSL` is true. Name one agent, not a load balancer: each has keys of its own. Default: `CONSUL_HTTP_ADDR`, else `127.0.0.1:8500`.",
      ),
    ...common,
  })
  .refine(hasOneToken, oneToken)
  .refine(({ address = "", tls }) => tls === undefined || !isPlainText(address), {
    error: 'has no effect on an address that is not encrypted: write "https://…", or leave tls out',
    path: ["tls"],
  });

const settings = z.discriminatedUnion("mode", [grpcSettings, httpSettings], {
  error: ({ input }) =>
    `mode ${JSON.stringify((input as { readonly mode?: unknown }).mode)} does not exist; there are "grpc" and "http"`,
});

const identity = z.strictObject({
  service: characters(1024)
    .min(1, "must be the name of a Consul service")
    .describe(
      "The Consul service whose identity is wanted: every name that Consul signs for. It needs no registration in the catalog, only an intention that lets it call the upstream.",
    ),
  serviceAccount: z
    .string()
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be the name of a ServiceAccount, e.g. "edge-mesh"')
    .optional()
    .describe(
      "A ServiceAccount of the MeshCertificate's namespace to log in as for each signature, so that no token of attaché's may sign for this service; Consul's binding rule must make `service` of it. Mode `grpc` only, with `serviceAccountLogin`.",
    ),
  namespace: name
    .optional()
    .describe("The Consul namespace of the service (Consul Enterprise); `default` by default."),
  partition: name
    .optional()
    .describe("The admin partition of the service (Consul Enterprise); `default` by default."),
});

export type ConsulSettings = z.output<typeof settings>;
export type GrpcSettings = z.output<typeof grpcSettings>;
export type HttpSettings = z.output<typeof httpSettings>;
export type ServiceAccountLogin = z.output<typeof serviceAccountLogin>;
export type ConsulIdentity = z.output<typeof identity>;

/**
 * Trust domain and datacenter are Consul's to say. The name is escaped as Consul does it, and a `/` in it, too:
 * only then its servers sign for that name.
 * @param place a pattern by default.
 */
export function spiffeIdOf(
  { service, namespace = "default", partition }: ConsulIdentity,
  place = { trustDomain: "*", datacenter: "*" },
): string {
  const { trustDomain, datacenter } = place;
  const inPartition = partition === undefined || partition === "default" ? "" : `/ap/${partition}`;
  return `spiffe://${trustDomain}${inPartition}/ns/${namespace}/dc/${datacenter}/svc/${escapeSegment(service)}`;
}

/**
 * What attaché must know of the adapter before it is used; light, so that it costs nothing when it is not.
 */
export const definition = {
  kind,
  settings,
  identity,
  expected: (identity: ConsulIdentity) => spiffeIdOf(identity),
  // Consul itself lists an old root until every leaf under it has expired, twice over.
  defaults: { retainMs: 0 },
};
