import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import { type CodeEntry, codes } from "../errors/codes.ts";

/** The command line asks for something impossible, or for something that does not exist. */
export class UsageError extends AttacheError {
  constructor(problem: string, options?: AttacheErrorOptions) {
    super("ATTACHE_USAGE", problem, options);
  }
}

/** Where each code has a section of its own. */
const errorsPage = "docs/errors.md";

/** What a command prints on standard error when it ends with `error`: what is wrong, and what to do. */
export function explain(error: unknown): string {
  if (error instanceof AttacheError) {
    return `attache: ${error.message}\n  → ${error.remedy}\n  See ${errorsPage}#${error.code.toLowerCase()}\n`;
  }
  const { stack } = error instanceof Error ? error : new Error(String(error));
  return `attache: ATTACHE_INTERNAL: ${stack ?? ""}\n  → ${codes.ATTACHE_INTERNAL.remedy}\n`;
}

export function exitStatusOf(error: unknown): number {
  const { exit = 1 }: CodeEntry = error instanceof AttacheError ? codes[error.code] : codes.ATTACHE_INTERNAL;
  return exit;
}
