import { status } from "@grpc/grpc-js";
import type { Clock, MeshError } from "../../src/mesh/adapter.ts";
import type { ErrorRow } from "../../src/mesh/kit/errors.ts";
import { callStream } from "../../src/mesh/kit/grpc/calls.ts";
import { openChannel } from "../../src/mesh/kit/grpc/channel.ts";
import { grpcError, isServiceError } from "../../src/mesh/kit/grpc/errors.ts";
import { trySocket } from "../../src/mesh/kit/unix-socket.ts";
import type { WorkloadEndpoint } from "./endpoint.ts";
import { spiffeWorkloadAPI, type X509SVIDResponse } from "./proto/workload.pb.ts";

/** What to do about an agent that answers and gives nothing new. */
export const lookAtAgent = "Look at the log of the SPIRE agent, and whether it reaches its server.";

/** The agent attests attaché's process before it answers, and may have to have a new SVID signed. */
export const answerWithinMs = 60_000;

/**
 * What other clients of the Workload API take: gRPC's own limit. Room for more than a thousand identities.
 */
const answerMaxBytes = 4 * 1024 * 1024;

interface AgentCall {
  readonly endpoint: WorkloadEndpoint;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Is given each answer, or the newest of those that came together: each is complete. */
  readonly received: (answer: X509SVIDResponse) => void;
}

/**
 * One call to the Workload API, over a connection of its own. An idle one is normal, and may hide an agent
 * that hangs.
 *
 * Ends only by throwing: the signal's reason, or a MeshError that says why.
 */
export async function followWorkloadApi({ endpoint, clock, signal, received }: AgentCall): Promise<never> {
  signal.throwIfAborted();
  const client = openChannel(endpoint.target, undefined, {
    "grpc.max_receive_message_length": answerMaxBytes,
  });
  const answers = callStream(
    client,
    spiffeWorkloadAPI.fetchX509SVID,
    {},
    {
      peer: "the agent",
      withinMs: answerWithinMs,
      remedy: lookAtAgent,
      // So that no browser and no proxy can be made to ask in attaché's name (SPIFFE Workload Endpoint,
      // section 6.1).
      metadata: { "workload.spiffe.io": "true" },
      onlyNewest: true,
      clock,
      signal,
    },
  );
  try {
    for await (const answer of answers) received(answer);
    throw new TypeError("a stream ended without an error");
  } catch (error) {
    throw await meshErrorOf(error, endpoint);
  } finally {
    client.close();
  }
}

/** Tries to connect to the agent's Unix socket, and says why that fails; over TCP only the call can tell. */
export async function tryEndpoint({ socketPath }: WorkloadEndpoint): Promise<MeshError | undefined> {
  if (socketPath === undefined) return undefined;
  return trySocket(socketPath, {
    missing:
      "Check `endpointSocket` or SPIFFE_ENDPOINT_SOCKET, that the agent's socket is mounted into attaché's container, and the agent: it makes the socket when it has reached its server.",
    idle: "Check that the SPIRE agent runs. A socket file may be left over from one that has ended.",
    mode: "the SPIRE agent makes it with mode 0777",
  });
}

/** Why a call to the agent ended, as an error of the mesh; what is not the mesh's is handed back as it is. */
async function meshErrorOf(error: unknown, endpoint: WorkloadEndpoint): Promise<unknown> {
  if (!isServiceError(error)) return error;
  // gRPC says UNAVAILABLE of all that may be wrong with a connection: look at the socket itself.
  const unreachable = error.code === status.UNAVAILABLE ? await tryEndpoint(endpoint) : undefined;
  return unreachable ?? grpcError(error, { name: "the agent", table: tableAt(endpoint) });
}

function tableAt({ url }: WorkloadEndpoint): readonly ErrorRow[] {
  return [
    {
      status: [status.PERMISSION_DENIED],
      code: "ATTACHE_MESH_FORBIDDEN",
      problem: "no registration entry gives attaché's process an identity",
      remedy: `Create one (spire-server entry create) with this node's agent as its parent and selectors that fit attaché, e.g. ${selectors()}; the agent learns of it in some seconds.`,
    },
    {
      status: [status.UNAUTHENTICATED],
      code: "ATTACHE_MESH_UNAUTHENTICATED",
      problem: "the agent cannot tell which process attaché is",
      remedy: "Let the agent see the node's processes (on Kubernetes hostPID: true).",
    },
    {
      status: [status.UNIMPLEMENTED],
      code: "ATTACHE_MESH_MALFORMED",
      problem: `what listens at ${url} is no SPIFFE Workload API`,
    },
  ];
}

function selectors(): string {
  const inPod = "k8s:ns:NAMESPACE and k8s:sa:SERVICEACCOUNT";
  const uid = process.getuid?.();
  return uid === undefined ? inPod : `unix:uid:${uid}, or in a pod ${inPod}`;
}
