import { isIP } from "node:net";
import { type MeshContext, MeshError } from "../../src/mesh/adapter.ts";
import { grpcTarget, isLocal, readAddress } from "../../src/mesh/kit/address.ts";

/** Where a Workload API listens. */
export interface WorkloadEndpoint {
  /** As an operator would write it. */
  readonly url: string;
  /** As grpc-js takes it. */
  readonly target: string;
  /** Path of the Unix socket; absent over TCP. */
  readonly socketPath?: string;
  /** Whether what is sent there stays on this machine. */
  readonly isLocal: boolean;
}

/**
 * An address as the SPIFFE Workload Endpoint, section 4, has it: `unix:///path` or `tcp://IP:port`.
 * `undefined` if `text` is anything else.
 */
export function readEndpoint(text: string): WorkloadEndpoint | undefined {
  const written = readAddress(text, { schemes: ["tcp", "unix"] });
  if (written === undefined) return undefined;
  const { scheme, host, port = 0, socketPath } = written;
  if (socketPath === undefined && (scheme !== "tcp" || port === 0 || isIP(host) === 0)) return undefined;
  const address = { host, port, ...(socketPath !== undefined && { socketPath }) };
  return {
    url: text.trim(),
    target: grpcTarget(address),
    isLocal: isLocal(address),
    ...(socketPath !== undefined && { socketPath }),
  };
}

/**
 * The settings' address, else that of the environment, else SPIRE's default.
 * @throws MeshError if the environment's is none.
 */
export function endpointOf(endpointSocket: string | undefined, env: MeshContext["env"]): WorkloadEndpoint {
  // Set to nothing counts as not set.
  const { SPIFFE_ENDPOINT_SOCKET: variable = "" } = env;
  const text = endpointSocket ?? (variable.trim() === "" ? defaultEndpoint : variable);
  const endpoint = readEndpoint(text);
  if (endpoint !== undefined) return endpoint;
  throw new MeshError("ATTACHE_MESH_UNREACHABLE", "SPIFFE_ENDPOINT_SOCKET is no address of a Workload API", {
    retryable: false,
    remedy:
      'Set it like "unix:///run/spire/agent-sockets/api.sock" or "tcp://127.0.0.1:8081", or write `endpointSocket` in the settings.',
  });
}

/** `public_socket_path`'s default: the agent's `socket_path` (spire/cmd/spire-agent, default_posix.go). */
const defaultEndpoint = "unix:///tmp/spire-agent/public/api.sock";
