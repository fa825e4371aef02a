import { type Certificate, type Check, type MeshContext, MeshError } from "../../../src/mesh/adapter.ts";
import { failed, ok } from "../credential-checks.ts";
import type { IstiodSettings } from "../definition.ts";
import { CaConnection } from "./ca-connection.ts";
import type { Endpoint } from "./endpoint.ts";
import { tryHandshake } from "./handshake.ts";
import { type Found, followRoots, placeOf, type RootsPorts } from "./roots.ts";

/** An operator waits for the answers. */
const withinMs = 10_000;

/** What can be known of istiod without a token: those are minted for identities that are watched only. */
export async function checkIstiod(
  settings: IstiodSettings,
  endpoint: Endpoint,
  { cluster, clock }: Pick<MeshContext, "cluster" | "clock">,
): Promise<Check[]> {
  const over = new AbortController();
  try {
    return await checks(settings, endpoint, { cluster, clock, signal: over.signal });
  } finally {
    over.abort();
  }
}

async function checks(
  { roots: settings }: IstiodSettings,
  endpoint: Endpoint,
  ports: RootsPorts,
): Promise<Check[]> {
  const roots = await firstRoots(settings, ports);
  if (MeshError.is(roots)) return [failed("roots", roots)];
  const found = ok("roots", `certificates in the ${placeOf(settings)}: ${roots.length}`);
  const { clock, signal } = ports;
  const problem = await tryHandshake(endpoint, roots, clock, signal);
  if (problem !== undefined) return [found, failed(`TLS to ${endpoint.address}`, problem)];
  const proven = ok(`TLS to ${endpoint.address}`, `it has a certificate for ${endpoint.serverName}`);
  return [found, proven, await caCheck(endpoint, roots, ports)];
}

/** Leaves nothing behind that goes on following them. */
async function firstRoots(settings: IstiodSettings["roots"], ports: RootsPorts): Promise<Found> {
  const { clock } = ports;
  const over = new AbortController();
  const signal = AbortSignal.any([ports.signal, over.signal]);
  clock.sleep(withinMs, signal).then(
    () =>
      over.abort(new MeshError("ATTACHE_MESH_TIMEOUT", `the roots were not read in ${withinMs / 1000} s`)),
    () => undefined,
  );
  try {
    for await (const found of followRoots(settings, { ...ports, signal })) return found;
    throw new TypeError("the roots ended without an error");
  } catch (error) {
    if (MeshError.is(error)) return error;
    throw error;
  } finally {
    over.abort();
  }
}

/** Who asks without a token is refused by a CA, and not understood by anybody else. */
async function caCheck(
  endpoint: Endpoint,
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
