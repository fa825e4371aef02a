import type { IdentityKey } from "../../src/api/mesh-certificate.ts";
import type { Code } from "../../src/errors/codes.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import type { Store } from "../../src/store/store.ts";

/** A store under test. */
export interface StoreSubject {
  /** Makes an empty place for a store; called once a case. */
  start(): Promise<StorePeer>;
  /** Cases that it cannot be tried on, by name, each with the reason. */
  readonly gaps?: Readonly<Record<string, string>>;
  /**
   * The code with which a write is refused for which there is no room; ATTACHE_STORE_UNWRITABLE by default.
   */
  readonly fullCode?: Code;
  /** The longest that a change may take to be reported; 10 s by default. */
  readonly deadlineMs?: number;
}

/** Where a store works, and the hands on it that are not the store's own. Disposed of after each case. */
export interface StorePeer extends AsyncDisposable {
  /** The installation whose marks the store writes. */
  readonly installation: string;
  /** In which all is done. */
  readonly namespace: string;
  /** Opens the store, as a start of attaché does; the one before is closed by then. */
  open(): Promise<Store>;
  /** Writes a MeshCertificate as a user does, in place of one of that name. */
  put(key: IdentityKey, spec: Readonly<Record<string, unknown>>): Promise<void>;
  /** Removes it as a user does. */
  remove(key: IdentityKey): Promise<void>;
  /** Every Secret and TLSContext that there is, also those of others. */
  objects(): Promise<Manifest[]>;
  /** Puts an object there, in place of one of that name, as any other client may do. */
  putObject(manifest: Manifest): Promise<void>;
  removeObject(manifest: Manifest): Promise<void>;
  /**
   * What the store itself has done to objects since the start, in order: `+Secret/storefront-mesh-ca`, `-…`.
   */
  changes(): readonly string[];
  /** How many times the store has written a status since the start. */
  statusWrites(): number;
  /** Lets the store write so many more objects, and refuses the rest; `Infinity` refuses none. */
  allowWrites(count: number): void;
}
