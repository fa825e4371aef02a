import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";

/** What the user asked for on the command line makes no sense, or is not there. */
export class UsageError extends AttacheError {
  constructor(problem: string, options?: AttacheErrorOptions) {
    super("ATTACHE_USAGE", problem, options);
  }
}
