import { dirname } from "node:path";
import type { MeshCertificate } from "../../api/mesh-certificate.ts";
import { parseMeshCertificates } from "../../api/parse.ts";
import { distrusted } from "../../runtime/trusted-path.ts";
import { DocumentError } from "../../text/yaml/document-error.ts";
import { StoreError } from "../store.ts";
import { reading } from "./file-errors.ts";
import { type Files, forEachFile } from "./files.ts";
import { stampOf } from "./folder-calls.ts";
import { dangling, IdentitySources, unreadable, untrusted } from "./identity-sources.ts";

/** What a file of MeshCertificates is at most, in bytes. */
const maxIdentityFileBytes = 1024 * 1024;

/** What is in force after a look at the files. */
export interface Look {
  /** Sorted by path. */
  readonly files: readonly IdentityFile[];
  /** Why what is in force may not be what is on the disk, by place. */
  readonly problems: ReadonlyMap<string, StoreError>;
  /** The sources that hold no MeshCertificate, and the files without a character. */
  readonly empty: readonly string[];
  /** Whether all that was seen counts already; if not, look again after a moment. */
  readonly settled: boolean;
}

export interface IdentityFile {
  readonly path: string;
  readonly identities: readonly MeshCertificate[];
}

/**
 * The MeshCertificates that are in force.
 *
 * A change counts once two looks in a row have seen the same: editors write in place, or move a file away
 * before they write it again, and half a file may well be valid. A file that is no longer readable or valid,
 * or whose mount is missing, stays in force as it was.
 */
export class IdentityFiles {
  readonly #sources: IdentitySources;
  readonly #files: Files;
  readonly #states = new Map<string, State>();

  constructor(paths: readonly string[], files: Files) {
    this.#sources = new IdentitySources(paths, files);
    this.#files = files;
  }

  /** The folders in which changes show. */
  folders(): Promise<Set<string>> {
    return this.#sources.folders();
  }

  /** @param atOnce whether also what was seen for the first time counts. */
  async look({ atOnce = false } = {}): Promise<Look> {
    const { stamps, away } = await this.#sources.look();
    for (const path of stamps.keys()) {
      if (!this.#states.has(path))
        this.#states.set(path, { seen: absent, taken: absent, identities: [], isBlank: false });
    }
    const visible = [...this.#states].filter(([path]) => !away.has(path) && !away.has(dirname(path)));
    await forEachFile(visible, ([path, state]) =>
      this.#take(path, state, stamps.get(path) ?? absent, atOnce),
    );
    const left = visible.filter(([path]) => this.#states.has(path));
    const errors = left.flatMap(([path, { error }]) => (error ? [[path, error] as const] : []));
    const files = [...this.#states]
      .map(([path, { identities }]) => ({ path, identities }))
      .toSorted((one, other) => (one.path < other.path ? -1 : 1));
    const blank = left.flatMap(([path, { isBlank }]) => (isBlank ? [path] : []));
    const idle = this.#sources.paths.filter((source) => !files.some((file) => isIn(source, file)));
    return {
      files,
      problems: new Map([...away, ...errors]),
      empty: [...idle, ...blank],
      settled: visible.every(([, { seen, taken }]) => seen === taken),
    };
  }

  async #take(path: string, state: State, stamp: string, atOnce: boolean): Promise<void> {
    const counts = atOnce || state.seen === stamp;
    state.seen = stamp;
    const isNew = stamp !== state.taken || state.error?.code === "ATTACHE_STORE_UNREADABLE";
    if (!counts || !isNew) return;
    if (stamp === absent) {
      state.taken = stamp;
      this.#states.delete(path);
    } else {
      await this.#read(path, state);
    }
  }

  async #read(path: string, state: State): Promise<void> {
    try {
      const text = await this.#text(path, state.seen);
      if (text === undefined) return;
      state.isBlank = text.trim() === "";
      // As a full disk or a template that failed leaves behind; who means it removes the file, or its
      // documents.
      if (state.isBlank && state.identities.length > 0) throw emptied(path);
      state.identities = await parseIdentities(text, path);
      state.error = undefined;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      state.error = error;
    }
    state.taken = state.seen;
  }

  /** Nothing if the file changes meanwhile, as the next look will see. */
  async #text(path: string, stamp: string): Promise<string | undefined> {
    if (stamp === dangling) throw unreadable(`${path} is a link that leads nowhere`);
    const files = this.#files;
    const distrust = await reading(path, () => distrusted(path, { files, within: dirname(path) }));
    if (distrust !== undefined) throw untrusted(distrust);
    const options = { maxBytes: maxIdentityFileBytes, followLinks: true };
    const { text, facts } = await reading(path, () => files.read(path, options));
    const after = await reading(path, () => files.stat(path));
    return stampOf(facts) === stamp && after && stampOf(after) === stamp ? text : undefined;
  }
}

/** What is known of a file. */
interface State {
  /** Its stamp at the last look. */
  seen: string;
  /** Its stamp when it was last read. */
  taken: string;
  /** What is in force. */
  identities: readonly MeshCertificate[];
  /** Why that is not what the file says. */
  error?: StoreError | undefined;
  isBlank: boolean;
}

function emptied(path: string): StoreError {
  return new StoreError("ATTACHE_DOCUMENT_INVALID", `${path} is empty, and had MeshCertificates`, {
    remedy: "Write them again; until then they stay in force. If they are meant to go, remove the file.",
  });
}

const absent = "absent";

function isIn(source: string, { path, identities }: IdentityFile): boolean {
  return identities.length > 0 && (path === source || dirname(path) === source);
}

/**
 * The MeshCertificates of a file. @throws StoreError ATTACHE_DOCUMENT_INVALID, naming the places in `file`.
 */
async function parseIdentities(text: string, file: string): Promise<MeshCertificate[]> {
  try {
    return await parseMeshCertificates(text, file);
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    throw new StoreError("ATTACHE_DOCUMENT_INVALID", error.problem, { cause: error, remedy: error.remedy });
  }
}
