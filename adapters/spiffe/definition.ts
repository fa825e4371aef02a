import { z } from "zod";
import { readSpiffeId } from "../../src/credentials/spiffe-id.ts";
import { characters } from "../../src/text/characters.ts";
import { readEndpoint } from "./endpoint.ts";

export const kind = "spiffe";

/** As SPIRE issues it: other meshes have trust domains with capitals, a Workload API has none. */
function idOf(text: string): ReturnType<typeof readSpiffeId> {
  const id = readSpiffeId(text);
  return id?.trustDomain === id?.trustDomain.toLowerCase() ? id : undefined;
}

const settings = z.strictObject({
  mode: z
    .enum(["workload"], {
      error: ({ input }) => `mode ${JSON.stringify(input)} does not exist; write "workload", or leave it out`,
    })
    .default("workload")
    .describe(
      "How the identities are obtained. `workload`: from the agent of attaché's own node, over the SPIFFE Workload API; it gives what attaché's process is entitled to.",
    ),
  endpointSocket: z
    .string()
    .refine((text) => readEndpoint(text) !== undefined, {
      error:
        'must be like "unix:///run/spire/agent-sockets/api.sock", of at most 103 bytes, or "tcp://127.0.0.1:8081" with an IP address',
    })
    .optional()
    .describe(
      "Where the Workload API listens: `unix:///PATH` or `tcp://IP:PORT`. By default what `SPIFFE_ENDPOINT_SOCKET` says, else `unix:///tmp/spire-agent/public/api.sock`, SPIRE's own default.",
    ),
  federatedTrustDomains: z
    .array(
      z.string().refine((name) => name === "*" || idOf(`spiffe://${name}`)?.path === "", {
        error: 'must be the name of a trust domain, e.g. "partner.example", or "*" for all',
      }),
    )
    .default([])
    .describe(
      'The federated trust domains whose roots are published beside those of the identity\'s own, so that their workloads can be called too; `["*"]`: all that the agent gives.',
    ),
});

const identity = z.strictObject({
  id: z
    .string()
    .max(2048)
    .refine((text) => idOf(text) !== undefined, {
      error: 'must be a SPIFFE ID, e.g. "spiffe://example.org/edge"',
    })
    .optional()
    .describe("The SPIFFE ID of the identity. May be left out where the agent gives attaché only one."),
  hint: characters(1024)
    .min(1)
    .optional()
    .describe(
      "The hint that the identity's registration entry carries, instead of its SPIFFE ID or beside it.",
    ),
});

export type SpiffeSettings = z.output<typeof settings>;
export type SpiffeIdentity = z.output<typeof identity>;

/**
 * The SPIFFE IDs that count as `identity`: where a hint or nothing is said, whatever the agent gives for
 * that.
 */
function expected({ id = "spiffe://**" }: SpiffeIdentity): string {
  return id;
}

/**
 * What attaché must know of the adapter before it is used; light, so that it costs nothing when it is not.
 */
export const definition = {
  kind,
  settings,
  identity,
  expected,
  // SPIRE keeps an old root in its bundles itself, for as long as leaves under it live.
  defaults: { retainMs: 0 },
};
