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
export const maxProblems = 10;

/** A YAML document that does not parse or does not fit its schema, with what is wrong in it. */
export class DocumentError extends AttacheError {
  readonly problems: readonly Problem[];

  /** @param problems of which {@link maxProblems} are kept. */
  constructor(problems: readonly Problem[]) {
    const kept = problems.slice(0, maxProblems);
    const more = problems.length > kept.length ? ["and more: correct these first"] : [];
    super("ATTACHE_DOCUMENT_INVALID", [...kept.map(lineOf), ...more].join("\n"));
    this.problems = kept;
  }
}

function lineOf({ place, path, message }: Problem): string {
  return path === "" ? `${place}: ${message}` : `${place} ${path}: ${message}`;
}
