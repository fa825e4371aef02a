import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";

/** Bytes that should be a key, a certificate, a chain or a bundle, and are not. Never quotes those bytes. */
export class CredentialError extends AttacheError {
  constructor(problem: string, options?: AttacheErrorOptions) {
    super("ATTACHE_CREDENTIAL_MALFORMED", problem, options);
  }
}
