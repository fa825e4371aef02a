import { type Check, type Clock, type Credential, MeshError } from "../../src/mesh/adapter.ts";
import { isOverdue } from "../../src/mesh/agent-renewal.ts";
import { followAgent } from "./agent-session.ts";
import { lookAtAgent, tryAgent } from "./grpc-errors.ts";
import { identityOf } from "./identity.ts";
import { merge, type Parts, withPart } from "./merge.ts";

/** An operator waits for the answer, so less than the agent may take at its worst. */
const withinMs = 10_000;

/** Asks the agent for what it holds now, over a connection of its own. */
export async function checkAgent(socket: string, clock: Clock): Promise<Check[]> {
  const unreachable = await tryAgent(socket);
  if (unreachable !== undefined) return [failed("agent socket", unreachable)];
  const listening = ok("agent socket", `somebody listens on ${socket}`);
  try {
    return [listening, ...checksOf(await fetchParts(socket, clock), clock.now())];
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
      parts = withPart(parts, part);
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

function checksOf(parts: Parts, now: Date): Check[] {
  const merged = merge(parts, now);
  if (merged.kind === "partial") return [];
  const { credential } = merged;
  return [
    ok("secrets", "default and ROOTCA came"),
    ok("identity", identityOf(credential.chain[0])),
    certificateCheck(credential, now),
    merged.kind === "whole" ? ok("trust bundle", `roots: ${credential.bundle.length}`) : torn(merged.problem),
  ];
}

function certificateCheck({ chain: [leaf] }: Credential, now: Date): Check {
  const name = "certificate";
  const until = leaf.notAfter.toISOString();
  const remedy = lookAtAgent;
  if (leaf.notAfter <= now) return { name, status: "failed", message: `expired at ${until}`, remedy };
  const message = `valid until ${until}`;
  if (!isOverdue(leaf, now)) return ok(name, message);
  return { name, status: "warning", message: `${message}, and its renewal is overdue`, remedy };
}

function torn(problem: string): Check {
  return {
    name: "trust bundle",
    status: "failed",
    message: `the certificate leads to none of the roots in ROOTCA: ${problem}`,
    remedy: "Look at the CA's root: after its change the agent must be given the new root, or be restarted.",
  };
}

function ok(name: string, message: string): Check {
  return { name, status: "ok", message };
}

function failed(name: string, { problem, remedy }: MeshError): Check {
  return { name, status: "failed", message: problem, remedy };
}
