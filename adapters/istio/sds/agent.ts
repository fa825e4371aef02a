import { access } from "node:fs/promises";
import { type Check, type Clock, MeshError } from "../../../src/mesh/adapter.ts";
import { expectedRenewal, owedRenewal } from "../../../src/mesh/kit/agent-renewal.ts";
import { checking, checkMs, failed, ok, within } from "../../../src/mesh/kit/checks.ts";
import { openChannel } from "../../../src/mesh/kit/grpc/channel.ts";
import { merge } from "../../../src/mesh/kit/pair-assembler.ts";
import { credentialChecks, lookAtAgent } from "../credential-checks.ts";
import type { Following, IdentityFeed } from "../own-identity-mesh.ts";
import type { AgentParts } from "../parts.ts";
import type { DiscoveryResponse } from "../proto/sds.pb.ts";
import { meshErrorOf, tryAgent } from "./errors.ts";
import { followCrlFile } from "./crl-file.ts";
import { namesCrlFile, type PartName, partNames, readPart } from "./secret.ts";
import { followSecret, type Verdict } from "./secret-stream.ts";

/** Where agents make their socket in a pod: newer ones in the volume `workload-socket`, and older ones. */
const usualSockets = ["/var/run/secrets/workload-spiffe-uds/socket", "/etc/istio/proxy/SDS"] as const;

/** The Istio agent of attaché's own pod, over its secret discovery service. */
export function agentSource(configured: string | undefined, clock: Clock): IdentityFeed {
  const socket = () => firstOf(configured === undefined ? usualSockets : [configured]);
  return {
    follow: async (following) => followAgent({ ...following, socket: await socket(), clock }),
    check: async () => checkAgent(await socket(), clock),
  };
}

/**
 * The first path at which there is something; looked up each time, because agents restart with other
 * versions.
 */
export async function firstOf(paths: readonly [string, ...string[]]): Promise<string> {
  for (const path of paths) if (await exists(path)) return path;
  return paths[0];
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

interface AgentSession extends Following {
  readonly socket: string;
  readonly clock: Clock;
}

/**
 * One connection to the agent, with a stream for each part. When one stream ends, both do: what the agent
 * then holds is only known by asking it afresh.
 *
 * Ends only by throwing: the signal's reason, or a MeshError that says why the connection was given up.
 */
async function followAgent(options: AgentSession): Promise<never> {
  const { socket, clock } = options;
  // A channel of grpc-js that is closed after it failed to connect tries once more, and would keep that
  // connection.
  const unreachable = await tryAgent(socket);
  if (unreachable !== undefined) throw unreachable;
  const client = openChannel(`unix://${socket}`);
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const crlsWanted = Promise.withResolvers<undefined>();
  const judge = judgeBy({ ...options, signal }, () => crlsWanted.resolve(undefined));
  try {
    return await Promise.race([
      ...partNames.map((name) =>
        followSecret(client, name, { clock, signal, judge: (answer) => judge(name, answer) }),
      ),
      crlsWanted.promise.then(() => followCrlFile({ ...options, signal })),
    ]);
  } catch (error) {
    options.signal.throwIfAborted();
    throw await meshErrorOf(error, socket);
  } finally {
    over.abort();
    client.close();
  }
}

function judgeBy({ clock, signal, received, refused }: AgentSession, onCrlFile: () => void) {
  const usable = new Set<PartName>();
  return async (name: PartName, answer: DiscoveryResponse): Promise<Verdict> => {
    let parts: AgentParts;
    try {
      parts = await readPart(name, answer, clock.now());
    } catch (error) {
      if (signal.aborted || !MeshError.is(error)) throw error;
      usable.delete(name);
      refused(error);
      return { accepted: false, error };
    }
    signal.throwIfAborted();
    usable.add(name);
    if (namesCrlFile(parts)) onCrlFile();
    received(parts, usable.size === partNames.length);
    return {
      accepted: true,
      owed: parts.workload && owedRenewal(parts.workload.certificates[0], clock.now(), lookAtAgent),
    };
  };
}

/** Asks the agent for what it holds now, over a connection of its own. */
async function checkAgent(socket: string, clock: Clock): Promise<Check[]> {
  const unreachable = await tryAgent(socket);
  if (unreachable !== undefined) return [failed("agent socket", unreachable)];
  const secrets = await checking("secrets", async () => {
    const credential = merge(await fetchParts(socket, clock), { clock, renewal: expectedRenewal });
    if (credential === undefined) return [];
    return [ok("secrets", "default and ROOTCA came"), ...credentialChecks(credential, clock.now())];
  });
  return [ok("agent socket", `a process listens on ${socket}`), ...secrets];
}

function fetchParts(socket: string, clock: Clock): Promise<AgentParts> {
  const problem = `the agent has not sent both secrets in ${checkMs / 1000} s`;
  const limit = { ms: checkMs, late: () => new MeshError("ATTACHE_MESH_TIMEOUT", problem), clock };
  return within(limit, (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<AgentParts>();
    let parts: AgentParts = {};
    followAgent({
      socket,
      clock,
      signal,
      received(part, complete) {
        parts = { ...parts, ...part };
        if (complete) resolve(parts);
      },
      refused: reject,
    }).catch(reject);
    return promise;
  });
}
