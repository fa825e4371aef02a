import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";

/** Why health and metrics cannot be served. */
export class ServerError extends AttacheError {
  constructor(problem: string, options?: AttacheErrorOptions) {
    super("ATTACHE_SERVER_LISTEN", problem, options);
  }
}
