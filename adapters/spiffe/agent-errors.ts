import { status } from "@grpc/grpc-js";
import type { MeshError } from "../../src/mesh/adapter.ts";
import { grpcError, isServiceError, type Meaning } from "../../src/mesh/kit/grpc/errors.ts";
import { trySocket } from "../../src/mesh/kit/unix-socket.ts";
import type { Endpoint } from "./endpoint.ts";

/** What to do about an agent that is there and gives nothing new. */
export const lookAtAgent = "Look at the log of the SPIRE agent, and whether it reaches its server.";

/** Tries to connect to the agent's Unix socket, and says why that fails; over TCP only the call can tell. */
export async function tryEndpoint({ socketPath }: Endpoint): Promise<MeshError | undefined> {
  if (socketPath === undefined) return undefined;
  return trySocket(socketPath, {
    missing:
      "Check `endpointSocket` or SPIFFE_ENDPOINT_SOCKET, that the agent's socket is mounted into attaché's container, and the agent: it makes the socket when it has reached its server.",
    idle: "Check that the SPIRE agent runs. A socket file may be left over from one that has ended.",
    mode: "the SPIRE agent makes it with mode 0777",
  });
}

/** Why a call to the agent ended, as an error of the mesh; what is not the mesh's is handed back as it is. */
export async function meshErrorOf(error: unknown, endpoint: Endpoint): Promise<unknown> {
  if (!isServiceError(error)) return error;
  // gRPC says UNAVAILABLE of all that may be wrong with a connection: look at the socket itself.
  const unreachable = error.code === status.UNAVAILABLE ? await tryEndpoint(endpoint) : undefined;
  return unreachable ?? grpcError(error, { name: "the agent", meanings: meaningsAt(endpoint) });
}

function meaningsAt({ url }: Endpoint): ReadonlyMap<status, Meaning> {
  return new Map<status, Meaning>([
    [
      status.PERMISSION_DENIED,
      [
        "ATTACHE_MESH_FORBIDDEN",
        "no registration entry gives attaché's process an identity",
        {
          remedy: `Create one (spire-server entry create) with this node's agent as its parent and selectors that fit attaché, e.g. ${selectors()}; the agent learns of it in some seconds.`,
        },
      ],
    ],
    [
      status.UNAUTHENTICATED,
      [
        "ATTACHE_MESH_UNAUTHENTICATED",
        "the agent cannot tell which process attaché is",
        { remedy: "Let the agent see the node's processes (on Kubernetes hostPID: true)." },
      ],
    ],
    [status.UNIMPLEMENTED, ["ATTACHE_MESH_MALFORMED", `what listens at ${url} is no SPIFFE Workload API`]],
  ]);
}

function selectors(): string {
  const inPod = "k8s:ns:NAMESPACE and k8s:sa:SERVICEACCOUNT";
  const uid = process.getuid?.();
  return uid === undefined ? inPod : `unix:uid:${uid}, or in a pod ${inPod}`;
}
