import { type Check, type Clock, MeshError } from "../../src/mesh/adapter.ts";
import { isOverdue } from "../../src/mesh/kit/agent-renewal.ts";
import { pathProblem } from "../../src/credentials/path.ts";
import { printable } from "../../src/text/printable.ts";
import { lookAtAgent, tryEndpoint } from "./agent-errors.ts";
import { list } from "./choice.ts";
import type { Endpoint } from "./endpoint.ts";
import type { X509SVIDResponse } from "./proto/workload.pb.ts";
import { federatedBundles, readSvids, type Svid } from "./svid.ts";
import { followWorkloadApi } from "./workload-stream.ts";

/** An operator waits for the answer. */
const withinMs = 10_000;

/** Asks the agent for what it gives attaché now, over a connection of its own. */
export async function checkAgent(
  endpoint: Endpoint,
  federatedTrustDomains: readonly string[],
  clock: Clock,
): Promise<Check[]> {
  const unreachable = await tryEndpoint(endpoint);
  if (unreachable !== undefined) return [failed(name, unreachable)];
  const answering = [ok(name, `the agent answers at ${endpoint.url}`), ...transportChecks(endpoint)];
  try {
    const answer = await fetchAnswer(endpoint, clock);
    const svids = readSvids(answer, { federatedTrustDomains, previous: [], now: clock.now() });
    return [
      ...answering,
      ok("identities", list(svids)),
      ...certificateChecks(svids, clock.now()),
      ...federationChecks(answer, federatedTrustDomains),
    ];
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    if (error.code === "ATTACHE_MESH_FORBIDDEN") return [...answering, failed("identities", error)];
    return [failed(name, error)];
  }
}

const name = "Workload API";

async function fetchAnswer(endpoint: Endpoint, clock: Clock): Promise<X509SVIDResponse> {
  const over = new AbortController();
  const { promise: answer, resolve: received } = Promise.withResolvers<X509SVIDResponse>();
  const limit = clock.sleep(withinMs, over.signal).then(() => {
    throw new MeshError("ATTACHE_MESH_TIMEOUT", `the agent has not answered in ${withinMs / 1000} s`, {
      remedy: lookAtAgent,
    });
  });
  try {
    return await Promise.race([
      answer,
      followWorkloadApi({ endpoint, clock, signal: over.signal, received }),
      limit,
    ]);
  } finally {
    over.abort();
  }
}

function transportChecks({ isLocal }: Endpoint): Check[] {
  if (isLocal) return [];
  return [
    {
      name: "transport",
      status: "warning",
      message: "private keys cross the network in plain text",
      remedy: "Use the Unix socket of an agent on attaché's own node.",
    },
  ];
}

/** One line for each identity that something is wrong with, or one for all. */
function certificateChecks(svids: readonly Svid[], now: Date): Check[] {
  const wrong = svids.flatMap((svid) => problemOf(svid, now) ?? []);
  return wrong.length > 0 ? wrong : [ok("certificates", "all are valid and lead to their trust bundles")];
}

function problemOf(svid: Svid, now: Date): Check | undefined {
  const name = `certificate of ${printable(svid.id)}`;
  try {
    const { chain, bundle } = svid.credential();
    const [leaf] = chain;
    const until = leaf.notAfter.toISOString();
    if (leaf.notBefore > now) {
      const message = `not valid before ${leaf.notBefore.toISOString()}`;
      return {
        name,
        status: "failed",
        message,
        remedy: "Compare the clocks of this node and the SPIRE server.",
      };
    }
    if (leaf.notAfter <= now) {
      return { name, status: "failed", message: `expired at ${until}`, remedy: lookAtAgent };
    }
    const problem = pathProblem(chain, bundle, { now, clockSkewMs: 0 });
    if (problem !== undefined) {
      const message = `does not lead to its trust bundle: ${problem}`;
      return {
        name,
        status: "failed",
        message,
        remedy: "Look at the CA of the SPIRE server (spire-server bundle show).",
      };
    }
    if (!isOverdue(leaf, now)) return undefined;
    const message = `valid until ${until}, and its renewal is overdue`;
    return { name, status: "warning", message, remedy: lookAtAgent };
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    return failed(name, error);
  }
}

function federationChecks(answer: X509SVIDResponse, wanted: readonly string[]): Check[] {
  if (wanted.length === 0) return [];
  const given = federatedBundles(answer, wanted).map(([trustDomain]) => trustDomain);
  const missing = wanted.filter((trustDomain) => trustDomain !== "*" && !given.includes(trustDomain));
  return [
    ok(
      "federation",
      given.length === 0 ? "no federated bundle" : `bundles of ${given.map(printable).join(", ")}`,
    ),
    ...missing.map((trustDomain): Check => ({
      name: `federation with ${trustDomain}`,
      status: "warning",
      message: "the agent gives no bundle of it",
      remedy: `Let attaché's registration entry federate with it (-federatesWith spiffe://${trustDomain}), and see whether the server has the bundle (spire-server bundle list).`,
    })),
  ];
}

function ok(name: string, message: string): Check {
  return { name, status: "ok", message };
}

function failed(name: string, { problem, remedy }: MeshError): Check {
  return { name, status: "failed", message: problem, remedy };
}
