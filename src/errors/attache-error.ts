import { type Code, codes } from "./codes.ts";

export interface AttacheErrorOptions {
  /** What the reader should do, when it can be said more precisely than the registry does. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/**
 * What every boundary's error class extends: a code of the registry, a message that names the place and the
 * problem, and a remedy. The code leads the message.
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

  /** The message without its code, for places that show the code apart. */
  get problem(): string {
    return this.message.slice(this.code.length + 2);
  }
}
