import { type Check, type Clock, MeshError } from "../../src/mesh/adapter.ts";
import { isOverdue } from "../../src/mesh/kit/agent-renewal.ts";
import { checkMs, failed, late, ok, warning, within } from "../../src/mesh/kit/checks.ts";
import { pathProblem } from "../../src/credentials/path.ts";
import { printable } from "../../src/text/printable.ts";
import { followWorkloadApi, lookAtAgent, tryEndpoint } from "./agent.ts";
import { list } from "./choice.ts";
import type { WorkloadEndpoint } from "./endpoint.ts";
import type { X509SVIDResponse } from "./proto/workload.pb.ts";
import { federatedBundles, readSvids, type Svid } from "./svid.ts";

/** Asks the agent for what it gives attaché now, over a connection of its own. */
export async function checkAgent(
  endpoint: WorkloadEndpoint,
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
      ...(await certificateChecks(svids, clock.now())),
      ...federationChecks(answer, federatedTrustDomains),
    ];
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    if (error.code === "ATTACHE_MESH_FORBIDDEN") return [...answering, failed("identities", error)];
    return [failed(name, error)];
  }
}

const name = "Workload API";

function fetchAnswer(endpoint: WorkloadEndpoint, clock: Clock): Promise<X509SVIDResponse> {
  const limit = { ms: checkMs, late: () => late("the agent", checkMs, lookAtAgent), clock };
  return within(limit, (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<X509SVIDResponse>();
    followWorkloadApi({ endpoint, clock, signal, received: resolve }).catch(reject);
    return promise;
  });
}

function transportChecks({ isLocal }: WorkloadEndpoint): Check[] {
  if (isLocal) return [];
  return [
    warning(
      "transport",
      "private keys cross the network in plain text",
      "Use the Unix socket of an agent on attaché's own node.",
    ),
  ];
}

/** One line for each identity that something is wrong with, or one for all. */
async function certificateChecks(svids: readonly Svid[], now: Date): Promise<Check[]> {
  const found = await Promise.all(svids.map((svid) => problemOf(svid, now)));
  const wrong = found.filter((check) => check !== undefined);
  return wrong.length > 0 ? wrong : [ok("certificates", "all are valid and lead to their trust bundles")];
}

async function problemOf(svid: Svid, now: Date): Promise<Check | undefined> {
  const name = `certificate of ${printable(svid.id)}`;
  try {
    const { chain, bundle } = await svid.credential();
    const [leaf] = chain;
    const until = leaf.notAfter.toISOString();
    if (leaf.notBefore > now) {
      const problem = `not valid before ${leaf.notBefore.toISOString()}`;
      return failed(name, { problem, remedy: "Compare the clocks of this node and the SPIRE server." });
    }
    if (leaf.notAfter <= now) return failed(name, { problem: `expired at ${until}`, remedy: lookAtAgent });
    const torn = pathProblem(chain, bundle, { now, clockSkewMs: 0 });
    if (torn !== undefined) {
      const problem = `does not lead to its trust bundle: ${torn}`;
      return failed(name, {
        problem,
        remedy: "Look at the CA of the SPIRE server (spire-server bundle show).",
      });
    }
    if (!isOverdue(leaf, now)) return undefined;
    return warning(name, `valid until ${until}, and its renewal is overdue`, lookAtAgent);
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
    ...missing.map((trustDomain) =>
      warning(
        `federation with ${trustDomain}`,
        "the agent gives no bundle of it",
        `Let attaché's registration entry federate with it (-federatesWith spiffe://${trustDomain}), and see whether the server has the bundle (spire-server bundle list).`,
      ),
    ),
  ];
}
