import type { Part } from "../backend.ts";
import type { Files } from "./files.ts";
import type { FileChange } from "./transaction.ts";

/** How one kind of part lies on the disk: an object's file, or a PEM set. */
export interface FileFormat<P extends Part> {
  /** Reads what is at `path`, and whose it is. Nothing if nothing is there. */
  inspect(path: string): Promise<FileFinding | undefined>;
  /** Puts `part` at `path`, whole and durable, in place of what is there. */
  change(path: string, part: P): FileChange;
}

export interface FileFormatPorts {
  readonly files: Files;
  readonly installation: string;
}

export interface FileFinding {
  readonly annotations: Readonly<Record<string, string>>;
  /** Digest of what is there; other text if it cannot stay as it is: it is damaged, or others may read it. */
  readonly content: string;
  /** Absent if it is damaged. */
  readonly part?: Part | undefined;
  /** Whose it is, where its annotations do not say that. */
  readonly because?: string;
  /** It is not attaché's, even if attaché's file was at the same path. */
  readonly isForeign?: true;
}

export function foreign(because: string): FileFinding {
  return { annotations: {}, content: "foreign", because, isForeign: true };
}

/** Bytes that have no owner, unless attaché's file was at the same path. */
export const unparseable: FileFinding = {
  annotations: {},
  content: "unparseable",
  because: "what is there is no object of Kubernetes",
};

/** {@link FileFinding.content} of something that is incomplete, or that others may read. */
export const unsound = "unsound";
