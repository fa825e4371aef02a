import { AttacheError } from "../errors/attache-error.ts";

/** Not every credential came in time: nothing is printed, as half a set helps nobody. */
export class RenderError extends AttacheError {
  /** @param reasons one line for each identity that is missing. */
  constructor(reasons: readonly string[]) {
    super(
      "ATTACHE_RENDER_INCOMPLETE",
      `no credential in time for\n${reasons.map((line) => `  ${line}`).join("\n")}`,
    );
  }
}
