import { status } from "@grpc/grpc-js";
import type { MeshError } from "../../../src/mesh/adapter.ts";
import { grpcError, type GrpcPeer, isServiceError, type Meaning } from "../../../src/mesh/grpc/errors.ts";
import { trySocket } from "../../../src/mesh/unix-socket.ts";

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
  return unreachable ?? grpcError(error, agent);
}

const agent: GrpcPeer = {
  name: "the agent",
  meanings: new Map<status, Meaning>([
    [status.PERMISSION_DENIED, ["ATTACHE_MESH_FORBIDDEN", "the agent refuses attaché this secret"]],
    [
      status.UNIMPLEMENTED,
      ["ATTACHE_MESH_MALFORMED", "what listens on the socket is no secret discovery service"],
    ],
    // Also when istiod is away: the agent tries five times, then ends the stream with status UNKNOWN.
    [status.UNAVAILABLE, ["ATTACHE_MESH_UNAVAILABLE", "the agent cannot give the certificate now"]],
  ]),
};
