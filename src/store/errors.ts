import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";

export type StoreErrorCode = Extract<Code, `ATTACHE_STORE_${string}` | "ATTACHE_DOCUMENT_INVALID">;

/** Why a store could not read a MeshCertificate or write a target. */
export class StoreError extends AttacheError {
  declare readonly code: StoreErrorCode;

  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- it takes fewer codes than its parent.
  constructor(code: StoreErrorCode, problem: string, options?: AttacheErrorOptions) {
    super(code, problem, options);
  }
}
