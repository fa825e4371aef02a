import { basename } from "node:path";
import type { Manifest } from "../../render/manifest.ts";
import type { Logger } from "../../telemetry/logger.ts";
import {
  type Backend,
  digestOfFixed,
  type Found,
  type ObjectKey,
  objectKey,
  type ObjectRef,
  type ObservedObject,
  type Part,
  refOf,
  type PartWrite,
  refOfPart,
  type WrittenParts,
} from "../backend.ts";
import type { OwnedObjects } from "../owned-objects.ts";
import { type IdentityRef, StoreError } from "../store.ts";
import { Changed, type Disk } from "./disk.ts";
import { reading } from "./file-errors.ts";
import type { FileFormat } from "./file-format.ts";
import { type Files, forEachFile } from "./files.ts";
import { isNamespace, type Layout, refIn } from "./layout.ts";
import { ObjectFiles } from "./object-files.ts";
import { pemSetOf, PemSets } from "./pem-sets.ts";

export interface DirectoryBackendPorts {
  readonly files: Files;
  readonly layout: Layout;
  readonly disk: Disk;
  readonly owned: OwnedObjects;
  readonly installation: string;
  readonly logger: Logger;
}

/**
 * Objects and PEM sets in a folder. A look at what is there counts as newer than whatever began before it. Notices of
 * the system only raise suspicion; a look at the content shows whether anything has changed.
 */
export class DirectoryBackend implements Backend {
  /** A file is written whole: nothing of it could be given back. */
  readonly canAdopt = false;
  readonly #ports: DirectoryBackendPorts;
  readonly #objects: FileFormat<Manifest>;
  readonly #pemSets: FileFormat<Part & { kind: "PemSet" }>;
  /** By path. A failed write may have come to be, and not be on the disk: these are written again, whatever they contain. */
  readonly #unfinished = new Set<string>();
  /** By path, when it was read or written last; none of what was not there then. */
  readonly #stamps = new Map<string, string>();
  readonly #suspects = new Map<ObjectKey, ObjectRef>();
  /** Transactions that have not been answered, by the paths that they write. */
  readonly #writing = new Map<string, Promise<unknown>>();
  #version = 0;

  constructor(ports: DirectoryBackendPorts) {
    this.#ports = ports;
    this.#objects = new ObjectFiles(ports);
    this.#pemSets = new PemSets(ports);
  }

  /** With the PEM set of an identity after its Secrets. */
  parts(identity: IdentityRef, manifests: readonly Manifest[]): readonly Part[] {
    const set = pemSetOf(identity, manifests);
    const afterSecrets = manifests.findLastIndex(({ kind }) => kind === "Secret") + 1;
    return set === undefined ? manifests : (manifests as readonly Part[]).toSpliced(afterSecrets, 0, set);
  }

  async read(ref: ObjectRef): Promise<Found | undefined> {
    const [stamp] = await this.#ports.disk.stamps([this.#ports.layout.path(ref)]);
    return this.#inspect(ref, stamp);
  }

  /** @param stamp of what is there: what happens after that is noticed later. */
  async #inspect(ref: ObjectRef, stamp: string | undefined): Promise<Found | undefined> {
    const path = this.#ports.layout.path(ref);
    const resourceVersion = this.#nextVersion();
    this.#remember(path, stamp);
    const found = await this.#formatOf(ref).inspect(path);
    if (found === undefined) return undefined;
    const { annotations, part, because = "", isForeign } = found;
    const content = this.#unfinished.has(path) ? "to be written again" : found.content;
    return {
      observed: observed(ref, { uid: isForeign ? "" : path, resourceVersion, annotations, content }),
      part,
      ...(because !== "" && { because }),
      ...(isForeign && { refusal: this.taken(ref, because) }),
    };
  }

  async write(part: Part, before: PartWrite["before"]): Promise<ObservedObject> {
    const { written, error } = await this.writeAll([{ part, before }], []);
    const [observed] = written;
    if (observed === undefined) throw error ?? new Error("nothing was written");
    return observed;
  }

  async writeAll(writes: readonly PartWrite[], unchanged: readonly ObjectRef[]): Promise<WrittenParts> {
    const { disk, layout } = this.#ports;
    const pathOf = ({ part }: PartWrite) => layout.path(refOfPart(part));
    const replaced = writes.map((write) => ({
      path: pathOf(write),
      stamp: write.before && this.#stamps.get(pathOf(write)),
    }));
    const others = unchanged.map((ref) => layout.path(ref));
    const kept = others.map((path) => ({ path, stamp: this.#stamps.get(path) }));
    const resourceVersion = this.#nextVersion();
    const answer = disk.commit(
      writes.map((write) => this.#formatOf(write.part).change(pathOf(write), write.part)),
      [...replaced, ...kept].filter(({ path }) => !this.#unfinished.has(path)),
    );
    for (const { path } of replaced) this.#writing.set(path, answer);
    const { stamps, error } = await answer.finally(() => {
      for (const { path } of replaced) this.#writing.delete(path);
    });
    const [done, failed] = [writes.slice(0, stamps.length), writes.slice(stamps.length)];
    if (!(error instanceof Changed)) for (const write of failed) this.#unfinished.add(pathOf(write));
    const written = done.map((write, index) => {
      const { part } = write;
      const path = pathOf(write);
      this.#remember(path, stamps[index]);
      this.#unfinished.delete(path);
      const { annotations } = part.metadata;
      const content = this.contentOf(part);
      return observed(refOfPart(part), { uid: path, resourceVersion, annotations, content });
    });
    return { written, ...(error && { error }) };
  }

  async remove(ref: ObjectRef, before: ObservedObject): Promise<void> {
    const { disk, layout } = this.#ports;
    const path = layout.path(ref);
    const found = await this.read(ref);
    if (found !== undefined) {
      const { uid, content } = found.observed;
      if (uid !== before.uid || content !== before.content) throw new Changed();
      const expected = { path, stamp: this.#stamps.get(path) };
      await disk.change({ kind: "removal", path, isDurable: true }, expected);
    }
    this.#unfinished.delete(path);
    this.#stamps.delete(path);
  }

  isConflict(error: unknown): boolean {
    return error instanceof Changed;
  }

  /** What an object holds includes its metadata. */
  isMarked(): boolean {
    return true;
  }

  contentOf(part: Part): string {
    return digestOfFixed(part.kind === "PemSet" ? part.data : part);
  }

  taken(ref: ObjectRef, because: string): StoreError {
    const path = this.#ports.layout.path(ref);
    return new StoreError("ATTACHE_STORE_TARGET_TAKEN", `${path} is taken: ${because}`, {
      remedy: "Choose another name under `spec.target`, or move the file away.",
    });
  }

  /**
   * Records what is published already: the annotations are all that is remembered of it. What cannot be read is logged
   * and left out: it affects one identity, whose status reports it, and no other.
   */
  async list(): Promise<void> {
    const { files, disk, layout, owned, logger } = this.#ports;
    const unlessUnreadable = async (work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        logger.log("PublishedUnreadable", { err: error });
      }
    };
    for (const namespace of (await namesIn(files, layout.root)).filter(isNamespace)) {
      await unlessUnreadable(async () => {
        const names = await namesIn(files, layout.namespace(namespace));
        const refs = names.flatMap((name) => refIn(namespace, name) ?? []);
        const stamps = await disk.stamps(refs.map((ref) => layout.path(ref)));
        await forEachFile(refs.entries(), ([index, ref]) =>
          unlessUnreadable(async () => {
            const found = await this.#inspect(ref, stamps[index]);
            if (found !== undefined) owned.see(found.observed);
          }),
        );
      });
    }
  }

  /** The folders of namespaces in which anything is, or is about to be. */
  get folders(): Set<string> {
    const { owned, layout } = this.#ports;
    const namespaces = new Set(Array.from(owned.all(), ({ namespace }) => namespace));
    return new Set(Array.from(namespaces, (namespace) => layout.namespace(namespace)));
  }

  /** Something has changed in `folder`: in that of a namespace, or the root, where namespaces come and go. */
  suspect(folder: string, name?: string): void {
    const { owned, layout } = this.#ports;
    const [namespace, file] = folder === layout.root ? [name] : [basename(folder), name];
    const ref = file === undefined ? undefined : refIn(namespace ?? "", file);
    const objects = file === undefined ? owned.all() : ref === undefined ? [] : [owned.get(ref)];
    for (const object of objects) {
      if (object === undefined || (namespace !== undefined && object.namespace !== namespace)) continue;
      this.#suspects.set(objectKey(object), refOf(object));
    }
  }

  /** Looks at all suspects, and reports what has changed. Waits for what is being written: it is known then. */
  async look(): Promise<void> {
    const { disk, layout } = this.#ports;
    const suspects = [...this.#suspects.values()].filter((ref) => this.#isWatched(ref));
    this.#suspects.clear();
    const paths = suspects.map((ref) => layout.path(ref));
    await Promise.allSettled(paths.map(async (path) => this.#writing.get(path)));
    const resourceVersion = this.#nextVersion();
    const stamps = await disk.stamps(paths).catch(unlessStoreError);
    const touched = suspects.filter((_, index) => stamps?.[index] !== this.#stamps.get(paths[index] ?? ""));
    await forEachFile(touched, async (ref) => {
      const content = await this.#contentNow(ref);
      const seen = this.#ports.owned.get(ref)?.seen;
      if (seen !== undefined && seen.content !== content)
        this.#ports.owned.see({ ...seen, resourceVersion, content });
    });
  }

  /** If not, an apply is due anyway. */
  #isWatched(ref: ObjectRef): boolean {
    const { owned, layout } = this.#ports;
    return owned.get(ref)?.seen !== undefined && !this.#unfinished.has(layout.path(ref));
  }

  async #contentNow(ref: ObjectRef): Promise<string> {
    try {
      return (await this.read(ref))?.observed.content ?? "absent";
    } catch (error) {
      // The repair reports the error.
      if (error instanceof StoreError) return error.message;
      throw error;
    }
  }

  #remember(path: string, stamp: string | undefined): void {
    if (stamp === undefined) this.#stamps.delete(path);
    else this.#stamps.set(path, stamp);
  }

  #nextVersion(): string {
    this.#version += 1;
    return String(this.#version);
  }

  #formatOf({ kind }: Pick<ObjectRef, "kind">): FileFormat<Part> {
    return kind === "PemSet" ? this.#pemSets : this.#objects;
  }
}

/** What fails as a whole is looked at one by one. */
function unlessStoreError(error: unknown): undefined {
  if (!(error instanceof StoreError)) throw error;
}

/** `uid` is the path of what may be attaché's: so it is known again after it was damaged. */
function observed(
  { kind, namespace, name }: ObjectRef,
  seen: Pick<ObservedObject, "uid" | "resourceVersion" | "annotations"> & { readonly content: string },
): ObservedObject {
  const own = { labels: [], annotations: [] };
  return { kind, namespace, name, ...seen, labels: {}, own, editor: undefined };
}

/** What is in one of attaché's own folders; nothing if there is no such folder. No link is followed. */
export async function namesIn(files: Files, folder: string): Promise<string[]> {
  return reading(folder, async () => {
    const facts = await files.lstat(folder);
    return facts?.kind === "folder" ? files.list(folder) : [];
  });
}
