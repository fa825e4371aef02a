import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";

export type ServerErrorCode = Extract<Code, `ATTACHE_SERVER_${string}`>;

/** Why probes and metrics cannot be served, or why one request is not. */
export class ServerError extends AttacheError {
  declare readonly code: ServerErrorCode;

  // eslint-disable-next-line @typescript-eslint/no-useless-constructor -- it takes fewer codes than its parent.
  constructor(code: ServerErrorCode, problem: string, options?: AttacheErrorOptions) {
    super(code, problem, options);
  }
}
