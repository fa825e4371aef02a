import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";

/** Why nothing is asked of a mesh for an identity: nobody has allowed it. */
export class NotAllowedError extends AttacheError {
  constructor(problem: string, options: AttacheErrorOptions) {
    super("ATTACHE_NOT_ALLOWED", problem, options);
  }
}
