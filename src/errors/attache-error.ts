import { type Code, codes } from "./codes.ts";

export interface AttacheErrorOptions {
  /** A more precise remedy than that of the registry of codes. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/**
 * The base class of all errors at boundaries: a code of the registry, a message that begins with the code and
 * names the place and the problem, and a remedy.
 */
export abstract class AttacheError extends Error {
  readonly code: Code;
  readonly remedy: string;

  constructor(code: Code, problem: string, options: AttacheErrorOptions = {}) {
    super(`${code}: ${problem}`, "cause" in options ? { cause: options.cause } : {});
    this.name = new.target.name;
    this.code = code;
    this.remedy = options.remedy ?? codes[code].remedy;
  }

  /** The message without its code. */
  get problem(): string {
    return this.message.slice(this.code.length + 2);
  }
}
