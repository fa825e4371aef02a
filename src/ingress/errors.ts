import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import type { Code } from "../errors/codes.ts";

type IngressCode = Extract<Code, `ATTACHE_INGRESS_${string}`>;

/** Why a pod of the ingress does not say what it has loaded. */
export class IngressError extends AttacheError {
  constructor(code: IngressCode, problem: string, options: AttacheErrorOptions = {}) {
    super(code, problem, options);
  }
}
