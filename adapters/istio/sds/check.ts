import { type Check, type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { credentialChecks, failed, ok } from "../credential-checks.ts";
import { merge, type Parts } from "../parts.ts";
import { followAgent } from "./agent-session.ts";
import { tryAgent } from "./grpc-errors.ts";

/** An operator waits for the answer, so less than the agent may take at its worst. */
const withinMs = 10_000;

/** Asks the agent for what it holds now, over a connection of its own. */
export async function checkAgent(socket: string, clock: Clock): Promise<Check[]> {
  const unreachable = await tryAgent(socket);
  if (unreachable !== undefined) return [failed("agent socket", unreachable)];
  const listening = ok("agent socket", `somebody listens on ${socket}`);
  try {
    const credential = merge(await fetchParts(socket, clock), clock.now());
    if (credential === undefined) return [listening];
    return [
      listening,
      ok("secrets", "default and ROOTCA came"),
      ...credentialChecks(credential, clock.now()),
    ];
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    return [listening, failed("secrets", error)];
  }
}

async function fetchParts(socket: string, clock: Clock): Promise<Parts> {
  const over = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<Parts>();
  let parts: Parts = {};
  const session = followAgent({
    socket,
    clock,
    signal: over.signal,
    received(part, complete) {
      parts = { ...parts, ...part };
      if (complete) resolve(parts);
    },
    refused: reject,
  });
  const limit = clock.sleep(withinMs, over.signal).then(() => {
    throw new MeshError(
      "ATTACHE_MESH_TIMEOUT",
      `the agent has not sent both secrets in ${withinMs / 1000} s`,
    );
  });
  try {
    return await Promise.race([promise, session, limit]);
  } finally {
    over.abort();
  }
}
