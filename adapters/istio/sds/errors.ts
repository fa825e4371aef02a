import { status } from "@grpc/grpc-js";
import type { MeshError } from "../../../src/mesh/adapter.ts";
import type { ErrorRow, Meaning } from "../../../src/mesh/kit/errors.ts";
import { grpcError, isServiceError } from "../../../src/mesh/kit/grpc/errors.ts";
import { trySocket } from "../../../src/mesh/kit/unix-socket.ts";
import { lookAtAgent } from "../credential-checks.ts";

/** Tries to connect to the agent's socket, and says why that fails; `undefined` when a process listens. */
export function tryAgent(socket: string): Promise<MeshError | undefined> {
  return trySocket(socket, {
    missing:
      "Check that the pod has the Istio sidecar and that attaché's container mounts the volume workload-socket at the folder of `socket`.",
    idle: "Check that the agent (container istio-proxy) runs. A socket file may be left over from one that has ended.",
    mode: "the Istio agent makes it with mode 0666",
  });
}

/**
 * Why a stream to the agent ended, as an error of the mesh; what is not the mesh's is handed back as it is.
 */
export async function meshErrorOf(error: unknown, socket: string): Promise<unknown> {
  if (!isServiceError(error)) return error;
  // gRPC says UNAVAILABLE of all that may be wrong with a connection: look at the socket itself.
  const unreachable = error.code === status.UNAVAILABLE ? await tryAgent(socket) : undefined;
  return unreachable ?? grpcError(error, { name: "the agent", table, otherwise });
}

const meanwhile = "attaché asks again by itself, and what is published stays.";

/** All but those that the agent gives for itself. */
const anything = [
  status.UNKNOWN,
  status.UNAVAILABLE,
  status.INTERNAL,
  status.ABORTED,
  status.FAILED_PRECONDITION,
];

const table: readonly ErrorRow[] = [
  {
    status: [status.PERMISSION_DENIED],
    code: "ATTACHE_MESH_FORBIDDEN",
    problem: "the agent refuses attaché this secret",
  },
  // Istio's agent has secrets for every client. SPIRE's agent says this.
  {
    status: [status.INVALID_ARGUMENT],
    code: "ATTACHE_MESH_FORBIDDEN",
    problem: "the agent has no such secret for attaché",
    remedy:
      "A SPIRE agent owns the socket, and no registration entry fits attaché's process: create one (spire-server entry create).",
  },
  {
    status: [status.UNIMPLEMENTED],
    code: "ATTACHE_MESH_MALFORMED",
    problem: "what listens on the socket is no secret discovery service",
  },
  // When istiod is unreachable the agent tries five times, then ends the stream with status UNKNOWN. It wraps
  // what happened to its own call, in Go's words (security/pkg/nodeagent).
  {
    status: anything,
    text: /code = Unauthenticated/,
    code: "ATTACHE_MESH_UNAUTHENTICATED",
    problem: "istiod does not accept the agent's token",
    remedy:
      'istiod\'s log says why (search for "Failed to authenticate"). The agent shows the token of the volume istio-token: its audience must be the one that istiod wants (istio-ca), and its ServiceAccount must not have been recreated since; then restart the pod.',
  },
  {
    status: anything,
    text: /x509: certificate signed by unknown authority/,
    code: "ATTACHE_MESH_TLS",
    problem: "the agent does not trust istiod",
    remedy: `istiod has another root than the agent was given (ConfigMap istio-ca-root-cert of the pod's namespace). After a change of the root the kubelet brings the new one within two minutes; else restart the pod. ${meanwhile}`,
  },
  {
    status: anything,
    text: /x509: /,
    code: "ATTACHE_MESH_TLS",
    problem: "the agent does not take istiod's certificate",
    remedy:
      "Check the agent's discoveryAddress: it must be a name that istiod's certificate is for, of the right revision. If it is the time, compare the clocks.",
  },
  {
    status: anything,
    text: /code = (?:Unavailable|DeadlineExceeded)/,
    code: "ATTACHE_MESH_UNAVAILABLE",
    problem: "the agent does not reach istiod",
    remedy: `Check that istiod runs, and that the pod may connect to its port 15012 (NetworkPolicies). ${meanwhile}`,
  },
];

const otherwise: Meaning = {
  code: "ATTACHE_MESH_UNAVAILABLE",
  problem: "the agent cannot give the certificate now",
  remedy: `${lookAtAgent} ${meanwhile}`,
};
