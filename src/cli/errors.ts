import { AttacheError, type AttacheErrorOptions } from "../errors/attache-error.ts";
import { type CodeEntry, codes } from "../errors/codes.ts";

/** The command line requests something impossible, or names something that does not exist. */
export class UsageError extends AttacheError {
  constructor(problem: string, options?: AttacheErrorOptions) {
    super("ATTACHE_USAGE", problem, options);
  }
}

/** The text on standard error for a command that fails with `error`: the problem, and the remedy. */
export function explain(error: unknown): string {
  if (error instanceof AttacheError) {
    return `attache: ${error.message}\n  → ${error.remedy}\n  Run \`attache explain ${error.code}\` for what the code means.\n`;
  }
  const { stack } = error instanceof Error ? error : new Error(String(error));
  return `attache: ATTACHE_INTERNAL: ${stack ?? ""}\n  → ${codes.ATTACHE_INTERNAL.remedy}\n`;
}

export function exitStatusOf(error: unknown): number {
  const { exit = 1 }: CodeEntry = error instanceof AttacheError ? codes[error.code] : codes.ATTACHE_INTERNAL;
  return exit;
}
