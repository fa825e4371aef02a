import { type ServiceError, status } from "@grpc/grpc-js";
import type { MeshError } from "../../errors.ts";
import { sanitizePeerText, type PeerTextOptions } from "../../../text/peer-text.ts";
import { type ErrorRow, type Meaning, meshErrorOf, rowFor } from "../errors.ts";

export interface GrpcPeer {
  /** How messages call it: "the agent". */
  readonly name: string;
  /** Where a status says more than usual. */
  readonly table?: readonly ErrorRow[];
  /** What each status comes to that is not known. */
  readonly otherwise?: Meaning;
}

export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && typeof error.code === "number" && "details" in error;
}

/** Why a call failed, as an error of the mesh; what the peer says of it stands behind the problem. */
export function grpcError(error: ServiceError, peer: GrpcPeer, text?: PeerTextOptions): MeshError {
  const { code, details } = error;
  const saying = details === "" ? "" : `: ${sanitizePeerText(details, text)}`;
  // Without `cause`: details and stack of a ServiceError are the peer's text, and may hold its tokens.
  return meshErrorOf(meaningOf(error, peer), ` (${status[code]})${saying}`);
}

function meaningOf({ code, details }: ServiceError, { name, table = [], otherwise }: GrpcPeer): Meaning {
  const general = rowFor(ownRows, code, details);
  const special = general === undefined ? rowFor(table, code, details) : undefined;
  if (special !== undefined) return special;
  const usual = general ?? rowFor(usualRows, code, details);
  if (usual !== undefined) return { ...usual, problem: `${name} ${usual.problem}` };
  return otherwise ?? { code: "ATTACHE_MESH_UNAVAILABLE", problem: `${name} cannot serve now` };
}

/** Errors of grpc-js itself: its limit on messages, and a peer that it cannot reach. */
const ownRows: readonly ErrorRow[] = [
  {
    status: [status.RESOURCE_EXHAUSTED],
    text: /^Received message larger than max/,
    code: "ATTACHE_MESH_MALFORMED",
    problem: "sent an answer that is larger than attaché reads",
  },
  {
    status: [status.UNAVAILABLE],
    text: /^(?:\w+: )?(?:No connection established|Name resolution failed)/,
    code: "ATTACHE_MESH_UNREACHABLE",
    problem: "cannot be reached",
  },
];

const usualRows: readonly ErrorRow[] = [
  { status: [status.PERMISSION_DENIED], code: "ATTACHE_MESH_FORBIDDEN", problem: "refuses attaché this" },
  {
    status: [status.UNAUTHENTICATED],
    code: "ATTACHE_MESH_UNAUTHENTICATED",
    problem: "does not know attaché",
  },
  { status: [status.DEADLINE_EXCEEDED], code: "ATTACHE_MESH_TIMEOUT", problem: "did not answer in time" },
  {
    status: [status.RESOURCE_EXHAUSTED],
    code: "ATTACHE_MESH_RATE_LIMITED",
    problem: "asks for fewer requests",
  },
  {
    status: [status.INVALID_ARGUMENT],
    code: "ATTACHE_MESH_MALFORMED",
    problem: "does not understand attaché's request",
  },
  {
    status: [status.UNIMPLEMENTED],
    code: "ATTACHE_MESH_MALFORMED",
    problem: "does not offer what attaché asks for",
  },
];
