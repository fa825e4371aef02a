import { type ServiceError, status } from "@grpc/grpc-js";
import { MeshError, type MeshErrorCode } from "../../src/mesh/adapter.ts";
import { peerText } from "../../src/mesh/peer-text.ts";
import { trySocket } from "./socket.ts";

/** Why a stream to the agent ended, as an error of the mesh; what is not the mesh's is handed back as it is. */
export async function meshErrorOf(error: unknown, socket: string): Promise<unknown> {
  if (!isServiceError(error)) return error;
  // gRPC says UNAVAILABLE of all that may be wrong with a connection: look at the socket itself.
  const unreachable = error.code === status.UNAVAILABLE ? await trySocket(socket) : undefined;
  // Without `cause`: details and stack of a ServiceError are the peer's text, and may hold its tokens.
  return unreachable ?? new MeshError(...classify(error));
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

function classify({ code, details }: ServiceError): [MeshErrorCode, string] {
  const [meshCode, problem] = isTooLarge({ code, details }) ? tooLarge : (meanings.get(code) ?? unavailable);
  return [meshCode, `${problem} (${status[code]}): ${peerText(details)}`];
}

type Meaning = readonly [MeshErrorCode, string];

const meanings: ReadonlyMap<status, Meaning> = new Map<status, Meaning>([
  [status.PERMISSION_DENIED, ["ATTACHE_MESH_FORBIDDEN", "the agent refuses attaché this secret"]],
  [status.UNAUTHENTICATED, ["ATTACHE_MESH_UNAUTHENTICATED", "the agent does not know attaché"]],
  [status.DEADLINE_EXCEEDED, ["ATTACHE_MESH_TIMEOUT", "the agent did not answer in time"]],
  [status.RESOURCE_EXHAUSTED, ["ATTACHE_MESH_RATE_LIMITED", "the agent asks for fewer requests"]],
  [status.INVALID_ARGUMENT, ["ATTACHE_MESH_MALFORMED", "the agent does not understand attaché's request"]],
  [
    status.UNIMPLEMENTED,
    ["ATTACHE_MESH_MALFORMED", "what listens on the socket is no secret discovery service"],
  ],
]);

/** Also when istiod is away: the agent tries five times, then ends the stream with status UNKNOWN. */
const unavailable: Meaning = ["ATTACHE_MESH_UNAVAILABLE", "the agent cannot give the certificate now"];

const tooLarge: Meaning = ["ATTACHE_MESH_MALFORMED", "the agent's answer is larger than attaché reads"];

/** grpc-js names its own limit on messages in these words; the code alone may also be a limit of the peer. */
function isTooLarge({ code, details }: Pick<ServiceError, "code" | "details">): boolean {
  return code === status.RESOURCE_EXHAUSTED && details.startsWith("Received message larger than max");
}
