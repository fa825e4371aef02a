import { type ServiceError, status } from "@grpc/grpc-js";
import { MeshError, type MeshErrorCode, type MeshErrorOptions } from "../../errors.ts";
import { sanitizePeerText, type PeerTextOptions } from "../../../text/peer-text.ts";

/** What a status says to attaché; what the peer itself says of it is put behind the problem. */
export type Meaning = readonly [code: MeshErrorCode, problem: string, options?: MeshErrorOptions];

export interface GrpcPeer {
  /** How messages call it: "the agent". */
  readonly name: string;
  /** Where a status says more than usual. That of UNAVAILABLE stands for each that is not known here either. */
  readonly meanings?: ReadonlyMap<status, Meaning>;
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

/** Why a call failed, as an error of the mesh. */
export function grpcError(error: ServiceError, peer: GrpcPeer, text?: PeerTextOptions): MeshError {
  const { code, details } = error;
  const [meshCode, problem, options] = meaningOf(error, peer);
  const saying = details === "" ? "" : `: ${sanitizePeerText(details, text)}`;
  // Without `cause`: details and stack of a ServiceError are the peer's text, and may hold its tokens.
  return new MeshError(meshCode, `${problem} (${status[code]})${saying}`, options);
}

function meaningOf({ code, details }: ServiceError, { name, meanings }: GrpcPeer): Meaning {
  if (code === status.RESOURCE_EXHAUSTED && details.startsWith(tooLarge)) {
    return ["ATTACHE_MESH_MALFORMED", `${name}'s answer is larger than attaché reads`];
  }
  if (code === status.UNAVAILABLE && notConnected.test(details)) {
    return ["ATTACHE_MESH_UNREACHABLE", `${name} cannot be reached`];
  }
  const usual = usualMeanings.get(code);
  return (
    meanings?.get(code) ??
    (usual && [usual[0], `${name} ${usual[1]}`]) ??
    meanings?.get(status.UNAVAILABLE) ?? ["ATTACHE_MESH_UNAVAILABLE", `${name} cannot serve now`]
  );
}

/** grpc-js names its own limit on messages in these words; the code alone may also be a limit of the peer. */
const tooLarge = "Received message larger than max";

/** What grpc-js itself says when there is nobody to ask. */
const notConnected = /^(?:\w+: )?(?:No connection established|Name resolution failed)/;

const usualMeanings: ReadonlyMap<status, readonly [MeshErrorCode, string]> = new Map<
  status,
  readonly [MeshErrorCode, string]
>([
  [status.PERMISSION_DENIED, ["ATTACHE_MESH_FORBIDDEN", "refuses attaché this"]],
  [status.UNAUTHENTICATED, ["ATTACHE_MESH_UNAUTHENTICATED", "does not know attaché"]],
  [status.DEADLINE_EXCEEDED, ["ATTACHE_MESH_TIMEOUT", "did not answer in time"]],
  [status.RESOURCE_EXHAUSTED, ["ATTACHE_MESH_RATE_LIMITED", "asks for fewer requests"]],
  [status.INVALID_ARGUMENT, ["ATTACHE_MESH_MALFORMED", "does not understand attaché's request"]],
  [status.UNIMPLEMENTED, ["ATTACHE_MESH_MALFORMED", "does not offer what attaché asks for"]],
]);
