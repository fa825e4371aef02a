/** What an identity publishes is made of pieces, withdrawn in this order: never is a context without its Secrets. */
export const roles = ["context", "pem", "leaf", "ca"] as const;
export type Role = (typeof roles)[number];

/** How one kind of thing that is published lies on the disk: an object's file, or a PEM set. */
export interface Medium<Content> {
  /** Identifies what is at `path` now: a later stamp differs if it was touched. Nothing if nothing is there. */
  stamp(path: string): Promise<string | undefined>;
  /** Reads what is at `path`, and whose it is. */
  inspect(path: string): Promise<FileFinding>;
  /** Puts `content` at `path`, whole and durable, in place of what is there. Returns its stamp. */
  write(path: string, content: Content): Promise<string>;
  /** Takes away what is at `path`, durably. */
  remove(path: string): Promise<void>;
}

export type FileFinding =
  | { readonly kind: "nothing" }
  /** Bytes that cannot be parsed: they have no owner, unless attaché's file was at the same path. */
  | { readonly kind: "unparseable" }
  | { readonly kind: "foreign"; readonly because: string }
  | Ours;

export interface Ours {
  readonly kind: "ours";
  readonly role: Role;
  /** Of the identity that it is published for. */
  readonly uid: string;
  readonly stamp: string;
  /** Of the content; absent if it cannot stay as it is, whatever the content: others may read it. */
  readonly digest?: string;
}

/** Whether only attaché's user may read a file or folder of this mode. */
export function isPrivate(mode: number): boolean {
  return (mode & 0o077) === 0;
}
