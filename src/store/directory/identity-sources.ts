import { dirname, join } from "node:path";
import { type Distrust, distrusted } from "../../runtime/trusted-path.ts";
import { StoreError } from "../store.ts";
import { reading } from "./file-errors.ts";
import { type Files, forEachFile } from "./files.ts";
import { type FileFacts, stampOf } from "./folder-calls.ts";

/** How many files of MeshCertificates are read at most. */
export const maxIdentityFiles = 20_000;

/** What was seen of the files of MeshCertificates, and not read. */
export interface ObservedFiles {
  /** By path; a file that is not here is not there, unless its source is away. */
  readonly stamps: ReadonlyMap<string, string>;
  /** The sources of which nothing can be said, and why: what they held stays in force. */
  readonly away: ReadonlyMap<string, StoreError>;
}

/** The stamp of a link that leads nowhere. */
export const dangling = "dangling";

/**
 * The files and folders that are named as holding MeshCertificates; of a folder the YAML and JSON files in
 * it, not below.
 */
export class IdentitySources {
  readonly #sources: readonly Source[];
  readonly #files: Files;

  constructor(paths: readonly string[], files: Files) {
    this.#sources = paths.map((path) => ({ path, dev: undefined }));
    this.#files = files;
  }

  get paths(): string[] {
    return this.#sources.map(({ path }) => path);
  }

  /** Where a change of any file shows: a file that is replaced is another file, in the same folder. */
  async folders(): Promise<Set<string>> {
    const folders = this.paths.map(async (path) => {
      const facts = await this.#files.stat(path).catch(() => undefined);
      return facts?.kind === "file" ? dirname(path) : path;
    });
    return new Set(await Promise.all(folders));
  }

  async look(): Promise<ObservedFiles> {
    const stamps = new Map<string, string>();
    const away = new Map<string, StoreError>();
    for (const source of this.#sources) {
      try {
        const paths = await this.#list(source);
        if (stamps.size + paths.length > maxIdentityFiles) throw tooMany(source.path);
        const facts = await forEachFile(paths, (path) => reading(path, () => this.#files.stat(path)));
        for (const [index, path] of paths.entries()) {
          const stamp = stampIn(facts[index]);
          if (stamp !== undefined) stamps.set(path, stamp);
        }
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        away.set(source.path, error);
      }
    }
    return { stamps, away };
  }

  async #list(source: Source): Promise<string[]> {
    const { path, dev } = source;
    const distrust = await reading(path, () => distrusted(path, { files: this.#files }));
    if (distrust !== undefined) throw untrusted(distrust);
    const facts = await reading(path, () => this.#files.stat(path));
    if (facts === undefined) throw unreadable(`${path} is not there`);
    if (facts.kind === "file") return [path];
    const names = await reading(path, () => this.#files.list(path));
    const yaml = names.filter((name) => /^[^.].*\.(?:ya?ml|json)$/.test(name));
    // Where a mount was, an empty folder comes to light.
    if (yaml.length === 0 && dev !== undefined && dev !== facts.dev) {
      throw unreadable(`${path} is empty and not the file system that it was: a mount is away`);
    }
    if (yaml.length > 0) source.dev = facts.dev;
    return yaml.map((name) => join(path, name));
  }
}

interface Source {
  readonly path: string;
  /** The file system that its files were on. */
  dev: number | undefined;
}

function stampIn(facts: FileFacts | undefined): string | undefined {
  if (facts === undefined) return dangling;
  return facts.kind === "file" ? stampOf(facts) : undefined;
}

/** Something that named MeshCertificates and does not any more. */
export function unreadable(problem: string): StoreError {
  return new StoreError("ATTACHE_STORE_UNREADABLE", problem, {
    remedy:
      "Bring it back, or mount it; until then the MeshCertificates that were read from it stay in force.",
  });
}

/** Something that others may write MeshCertificates into. */
export function untrusted({ problem, remedy }: Distrust): StoreError {
  return new StoreError("ATTACHE_STORE_UNREADABLE", `${problem}: no MeshCertificate is read from it`, {
    remedy,
  });
}

function tooMany(path: string): StoreError {
  return new StoreError(
    "ATTACHE_STORE_UNREADABLE",
    `with ${path} there are more than ${maxIdentityFiles} files`,
    {
      remedy: "Write several MeshCertificates into one file, as documents separated by `---`.",
    },
  );
}
