import type { Part } from "../backend.ts";

/** How one kind of part lies on the disk: an object's file, or a PEM set. */
export interface FileFormat<P extends Part> {
  /** Identifies what is at `path` now: a later stamp differs if it was touched. Nothing if nothing is there. */
  stamp(path: string): Promise<string | undefined>;
  /** Reads what is at `path`, and whose it is. */
  inspect(path: string): Promise<FileFinding>;
  /** Puts `part` at `path`, whole and durable, in place of what is there. Returns its stamp. */
  write(path: string, part: P): Promise<string>;
  /** Takes away what is at `path`, durably. */
  remove(path: string): Promise<void>;
  /** As {@link FoundPart.digest}. */
  digestOf(part: P): string;
}

export type FileFinding =
  | { readonly kind: "nothing" }
  /** Bytes that cannot be parsed: they have no owner, unless attaché's file was at the same path. */
  | { readonly kind: "unparseable"; readonly stamp: string }
  | { readonly kind: "foreign"; readonly because: string }
  | FoundPart;

export interface FoundPart {
  readonly kind: "ours";
  readonly annotations: Readonly<Record<string, string>>;
  readonly stamp: string;
  /** Of the content; absent if it cannot stay as it is, whatever the content: others may read it. */
  readonly digest?: string;
  /** Absent if it is damaged. */
  readonly part?: Part | undefined;
}

/** Whether only attaché's user may read a file or folder of this mode. */
export function isPrivate(mode: number): boolean {
  return (mode & 0o077) === 0;
}
