import { AttacheError } from "../../errors/attache-error.ts";

/** One thing that is wrong in a document, and what to write instead. */
export interface Problem {
  /** `attache.yaml:12:5`, or the variable or flag that the value came from. */
  readonly place: string;
  /** `meshes.consul.address`; empty for the document as a whole. */
  readonly path: string;
  readonly message: string;
}

/** Reports no more than this at once: a user who corrects these sees the next. */
const maxProblems = 20;

/** A YAML document that does not parse or does not fit its schema, with what is wrong in it. */
export class DocumentError extends AttacheError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const shown = problems.slice(0, maxProblems).map(lineOf);
    const rest = problems.length - shown.length;
    super("ATTACHE_DOCUMENT_INVALID", [...shown, ...(rest > 0 ? [`and ${rest} more`] : [])].join("\n"));
    this.problems = problems;
  }
}

function lineOf({ place, path, message }: Problem): string {
  return path === "" ? `${place}: ${message}` : `${place} ${path}: ${message}`;
}
