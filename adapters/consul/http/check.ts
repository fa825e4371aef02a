import { type Check, type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { isLocal } from "../../../src/mesh/kit/address.ts";
import { sanitizePeerText } from "../../../src/text/peer-text.ts";
import { checking, checkMs, failed, ok, warning } from "../../../src/mesh/kit/checks.ts";
import { versionCheck } from "../../../src/mesh/kit/versions.ts";
import { clockCheck, supportedConsul } from "../checks.ts";
import { readRoots, rootsPath } from "./answers.ts";
import type { ConsulClient } from "./client.ts";
import type { HttpReply } from "./reply.ts";

/** Asks the agent for what an operator should know of it now. */
export function checkAgent(client: ConsulClient, clock: Clock): Promise<Check[]> {
  const over = new AbortController();
  const ask = (path: string) => client.ask(path, { timeoutMs: checkMs, signal: over.signal });
  return checking("agent", async () => {
    const leader = await ask("/status/leader");
    const receivedAt = clock.now();
    return [
      ok("agent", `${client.endpoint.url} answers`),
      transportCheck(client),
      ...versionOf(await ask("/agent/self")),
      clockOf(leader, receivedAt),
      leaderCheck(leader),
      await caCheck(await ask(rootsPath)),
      await tokenCheck(client, ask),
    ];
  });
}

function transportCheck({ endpoint }: ConsulClient): Check {
  const name = "transport";
  if (endpoint.isSecure) return ok(name, "TLS");
  if (isLocal(endpoint)) return ok(name, "plain HTTP that stays on this machine");
  return warning(
    name,
    "the ACL token and private keys cross the network in plain text",
    "Use an agent on this machine, or its https address (8501) with `tls.caFile`.",
  );
}

function clockOf({ headers }: HttpReply, receivedAt: Date): Check {
  const theirs = new Date(headers.date ?? Number.NaN);
  if (Number.isNaN(theirs.getTime())) return ok("clock", "the agent does not tell its time");
  return clockCheck(receivedAt.getTime() - theirs.getTime(), "the agent");
}

/** Only for a token with agent:read, which attaché's need not have. */
function versionOf({ problem, text }: HttpReply): Check[] {
  if (problem !== undefined) return [];
  const [, version = ""] = /"Version":\s*"([^"]{1,64})"/.exec(text) ?? [];
  return versionCheck("Consul", [version], supportedConsul);
}

function leaderCheck({ problem, text }: HttpReply): Check {
  const name = "leader";
  if (problem !== undefined) return failed(name, problem);
  // A JSON string, empty while there is none.
  if (text.trim().length > 2) return ok(name, "the servers have one");
  return failed(name, {
    problem: "the servers have no leader",
    remedy: "Look at the servers: consul operator raft list-peers.",
  });
}

async function caCheck({ problem, text }: HttpReply): Promise<Check> {
  const name = "CA";
  try {
    if (problem !== undefined) throw problem;
    const { trustDomain, listed } = await readRoots(text);
    return ok(name, `trust domain ${sanitizePeerText(trustDomain)}, ${listed.bundle.length} roots`);
  } catch (error) {
    if (!MeshError.is(error)) throw error;
    return failed(name, error);
  }
}

async function tokenCheck(client: ConsulClient, ask: (path: string) => Promise<HttpReply>): Promise<Check> {
  const name = "ACL token";
  const { status, problem, text } = await ask("/acl/token/self");
  if (status === 401 && /ACL support disabled/i.test(text)) return ok(name, "this Consul asks for none");
  if (!client.hasToken) {
    return warning(
      name,
      "none is configured, and this Consul asks for one",
      "Set `tokenFile` to one with service:write for the services that attaché obtains.",
    );
  }
  return problem === undefined ? ok(name, "accepted") : failed(name, problem);
}
