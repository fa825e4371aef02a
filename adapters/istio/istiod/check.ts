import {
  type Certificate,
  type Check,
  type Clock,
  type MeshContext,
  MeshError,
} from "../../../src/mesh/adapter.ts";
import { request } from "undici";
import { addressText } from "../../../src/mesh/kit/address.ts";
import { checking, checkMs, failed, late, ok, within } from "../../../src/mesh/kit/checks.ts";
import { versionCheck } from "../../../src/mesh/kit/versions.ts";
import type { IstiodSettings } from "../definition.ts";
import { CaConnection } from "./ca-connection.ts";
import { type IstiodEndpoint, tryHandshake } from "./handshake.ts";
import { followRoots, placeOf, type RootsPorts } from "./roots.ts";

/** What can be known of istiod without a token: those are minted for identities that are watched only. */
export function checkIstiod(
  { roots: settings }: IstiodSettings,
  endpoint: IstiodEndpoint,
  { cluster, clock }: Pick<MeshContext, "cluster" | "clock">,
): Promise<Check[]> {
  return checking("roots", async () => {
    const roots = await firstRoots(settings, cluster, clock);
    const found = ok("roots", `certificates in the ${placeOf(settings)}: ${roots.length}`);
    const { signal } = new AbortController();
    const problem = await tryHandshake(endpoint, roots, clock, signal);
    if (problem !== undefined) return [found, failed(`TLS to ${endpoint.address}`, problem)];
    const proven = ok(`TLS to ${endpoint.address}`, `it has a certificate for ${endpoint.serverName}`);
    const ca = await caCheck(endpoint, roots, { clock, signal });
    return [found, proven, ca, ...versionCheck("Istio", await versionsOf(endpoint, clock))];
  });
}

/** Leaves nothing behind that goes on following them. */
function firstRoots(
  settings: IstiodSettings["roots"],
  cluster: RootsPorts["cluster"],
  clock: RootsPorts["clock"],
): Promise<readonly Certificate[]> {
  const problem = `the roots were not read in ${checkMs / 1000} s`;
  const limit = { ms: checkMs, late: () => new MeshError("ATTACHE_MESH_TIMEOUT", problem), clock };
  return within(limit, async (signal) => {
    for await (const found of followRoots(settings, { cluster, clock, signal })) {
      if (MeshError.is(found)) throw found;
      return found.bundle;
    }
    throw new TypeError("the roots ended without an error");
  });
}

/** Where istiod serves its metrics, and its version, over plain HTTP. */
const monitoringPort = 15_014;

const versionMs = 2_000;

/** What istiod says of its version; empty where its monitoring port cannot be reached. */
export async function versionsOf(
  { host }: Pick<IstiodEndpoint, "host">,
  clock: Clock,
  port = monitoringPort,
): Promise<readonly string[]> {
  const limit = { ms: versionMs, late: () => late("istiod", versionMs), clock };
  try {
    return await within(limit, async (signal) => {
      const { statusCode, body } = await request(`http://${addressText({ host, port })}/version`, { signal });
      body.on("error", () => undefined);
      // It is one short line.
      for await (const chunk of body) return statusCode === 200 ? [String(chunk).trim()] : [];
      return [];
    });
  } catch {
    return [];
  }
}

/** A CA refuses a request without a token; any other server does not understand it. */
async function caCheck(
  endpoint: IstiodEndpoint,
  roots: readonly Certificate[],
  { clock, signal }: RootsPorts,
): Promise<Check> {
  using connection = new CaConnection(endpoint, clock);
  connection.trust(roots);
  try {
    await connection.createCertificate({ csr: "", token: undefined, clusterId: undefined, ttl: 0, signal });
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    if (error.code !== "ATTACHE_MESH_UNAUTHENTICATED") return failed("CA", error);
  }
  return ok("CA", "it signs for those whose token it accepts");
}
