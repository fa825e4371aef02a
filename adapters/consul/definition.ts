import { z } from "zod";

export const kind = "consul";

/** Of `address` and `CONSUL_HTTP_ADDR`; without path, as Consul's API has none in front. */
export const addressForm =
  /^(?:(?:(?<scheme>https?):\/\/)?(?<host>[\w.-]+|\[[\da-fA-F:.]+\])(?::(?<port>\d{1,5}))?\/?|unix:\/\/(?<socket>\/.+))$/;

const path = z.string().min(1, "must be the path of a file");

const tls = z
  .strictObject({
    caFile: path
      .optional()
      .describe(
        "PEM file with the CAs that may have signed Consul's server certificate. Default: `CONSUL_CACERT`, else the CAs that Node trusts.",
      ),
    caPath: path
      .optional()
      .describe(
        "Folder of such files, used beside `caFile`; every file in it counts. Default: `CONSUL_CAPATH`.",
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
        "The name that Consul's certificate must carry, e.g. `server.dc1.consul`. Default: `CONSUL_TLS_SERVER_NAME`, else the host of `address`.",
      ),
    insecureSkipVerify: z
      .boolean()
      .optional()
      .describe(
        "Take any certificate: whoever is in between reads the token and chooses keys and roots. For a trial only. Default: the opposite of `CONSUL_HTTP_SSL_VERIFY`, else false.",
      ),
  })
  .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), {
    error: "certFile and keyFile belong together: give both or neither",
  });

const settings = z
  .strictObject({
    mode: z
      .enum(["http"], {
        error: ({ input }) =>
          `mode ${JSON.stringify(input)} does not exist; this version knows "http" only (grpc is planned)`,
      })
      .default("http")
      .describe("How Consul is asked. `http`: leaf and roots from one agent (or server) over its HTTP API."),
    address: z
      .string()
      .regex(
        addressForm,
        'must be like "https://127.0.0.1:8501", "127.0.0.1:8500" or "unix:///run/consul.sock", without user, path or query',
      )
      .optional()
      .describe(
        "Where the HTTP API listens: `http://…`, `https://…`, `unix:///…` or `HOST:PORT`, which is https where `tls` is given or `CONSUL_HTTP_SSL` is true. Name one agent, not a load balancer: each has keys of its own. Default: `CONSUL_HTTP_ADDR`, else `127.0.0.1:8500`.",
      ),
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
    datacenter: z
      .string()
      .regex(/^[\w-]{1,63}$/, 'must be the name of a Consul datacenter, e.g. "dc1"')
      .optional()
      .describe("The datacenter to ask for. Default: that of the agent."),
    tls: tls
      .optional()
      .describe(
        "How Consul proves itself to attaché, and attaché to Consul. After a failed handshake the files are read again, so that renewed ones need no restart.",
      ),
  })
  .refine(({ token, tokenFile }) => token === undefined || tokenFile === undefined, {
    error: "give token or tokenFile, not both",
    path: ["token"],
  })
  .refine(({ address = "", tls }) => tls === undefined || !/^(?:http|unix):/.test(address), {
    error: 'has no effect on an address that is not encrypted: write "https://…", or leave tls out',
    path: ["tls"],
  });

const identity = z.strictObject({
  service: z
    .string()
    .max(128)
    .regex(
      /^[A-Za-z0-9]([-\w.]*[A-Za-z0-9])?$/,
      'must be the name of a Consul service, e.g. "web": letters, digits, dots, hyphens and underscores',
    )
    .describe(
      "The Consul service whose identity is wanted. It needs no registration in the catalog, only an intention that lets it call the upstream.",
    ),
});

export type ConsulSettings = z.output<typeof settings>;
export type ConsulIdentity = z.output<typeof identity>;

/** Trust domain and datacenter are Consul's to say; `/ap/<partition>` exists in Consul Enterprise only. */
function expected({ service }: ConsulIdentity): string {
  return `spiffe://*/ns/default/dc/*/svc/${service}`;
}

/** What attaché must know of the adapter before it is used; light, so that it costs nothing when it is not. */
export const definition = {
  kind,
  settings,
  identity,
  expected,
  // Consul itself lists an old root until every leaf under it has expired, twice over.
  defaults: { retainMs: 0 },
};
