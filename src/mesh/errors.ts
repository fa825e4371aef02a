import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";

export type MeshErrorCode = Extract<Code, `ATTACHE_MESH_${string}`>;

export interface MeshErrorOptions extends AttacheErrorOptions {
  /** Whether the same request may succeed later without any other change; by default the code decides. */
  readonly retryable?: boolean;
  /** The least time to wait before the next try, in milliseconds, when the mesh named one (Retry-After). */
  readonly retryAfterMs?: number;
}

/**
 * Codes after which only a changed setting, identity or permission helps; they are still retried, but seldom.
 */
const lasting: ReadonlySet<MeshErrorCode> = new Set<MeshErrorCode>([
  "ATTACHE_MESH_UNKNOWN",
  "ATTACHE_MESH_PLUGIN",
  "ATTACHE_MESH_IDENTITY_REFUSED",
]);

const brand = Symbol.for("attache.MeshError");

/**
 * What an adapter throws, and all that it throws: why a mesh gives no credential for an identity.
 *
 * The message may quote the peer, but only through `peerText()`, which cuts it and takes tokens out.
 */
export class MeshError extends AttacheError {
  declare readonly code: MeshErrorCode;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly [brand] = true;

  constructor(code: MeshErrorCode, problem: string, options: MeshErrorOptions = {}) {
    super(code, problem, options);
    this.retryable = options.retryable ?? !lasting.has(code);
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Also true for an error of a plug-in that brings its own copy of this module, unlike `instanceof`. */
  static is(error: unknown): error is MeshError {
    return typeof error === "object" && error !== null && brand in error;
  }
}

/** The code of any error, of attaché or a plug-in; `ATTACHE_INTERNAL`: a bug. */
export function errorCode(error: unknown): Code {
  return MeshError.is(error) || error instanceof AttacheError ? error.code : "ATTACHE_INTERNAL";
}
