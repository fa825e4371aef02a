import { status } from "@grpc/grpc-js";
import type { MeshError } from "../../../src/mesh/adapter.ts";
import { grpcError, type GrpcPeer, isServiceError, type Meaning } from "../../../src/mesh/kit/grpc/errors.ts";
import { trySocket } from "../../../src/mesh/kit/unix-socket.ts";
import { caFailure } from "./ca-failures.ts";

/** Tries to connect to the agent's socket, and says why that fails; `undefined` when somebody listens. */
export function tryAgent(socket: string): Promise<MeshError | undefined> {
  return trySocket(socket, {
    missing:
      "Check that the pod has the Istio sidecar and that attaché's container mounts the volume workload-socket at the folder of `socket`.",
    idle: "Check that the agent (container istio-proxy) runs. A socket file may be left over from one that has ended.",
    mode: "the Istio agent makes it with mode 0666",
  });
}

/** Why a stream to the agent ended, as an error of the mesh; what is not the mesh's is handed back as it is. */
export async function meshErrorOf(error: unknown, socket: string): Promise<unknown> {
  if (!isServiceError(error)) return error;
  // gRPC says UNAVAILABLE of all that may be wrong with a connection: look at the socket itself.
  const unreachable = error.code === status.UNAVAILABLE ? await tryAgent(socket) : undefined;
  return unreachable ?? grpcError(error, agentThatSays(error.details));
}

const agentThatSays = (details: string): GrpcPeer => ({
  name: "the agent",
  meanings: new Map<status, Meaning>([
    [status.PERMISSION_DENIED, ["ATTACHE_MESH_FORBIDDEN", "the agent refuses attaché this secret"]],
    // Istio's agent has secrets for everybody. SPIRE's says this.
    [
      status.INVALID_ARGUMENT,
      [
        "ATTACHE_MESH_FORBIDDEN",
        "the agent has no such secret for attaché",
        {
          remedy:
            "A SPIRE agent owns the socket, and no registration entry fits attaché's process: create one (spire-server entry create).",
        },
      ],
    ],
    [
      status.UNIMPLEMENTED,
      ["ATTACHE_MESH_MALFORMED", "what listens on the socket is no secret discovery service"],
    ],
    // When istiod is away the agent tries five times, then ends the stream with status UNKNOWN. Stands for all others, too.
    [status.UNAVAILABLE, caFailure(details)],
  ]),
});
