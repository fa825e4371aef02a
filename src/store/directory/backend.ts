import { dirname, join } from "node:path";
import type { Manifest } from "../../render/manifest.ts";
import type { Semaphore } from "../../runtime/semaphore.ts";
import type { Logger } from "../../telemetry/logger.ts";
import {
  type Backend,
  type Found,
  type ObjectRef,
  type ObservedObject,
  type Part,
  type Precondition,
  refOfPart,
} from "../backend.ts";
import type { OwnedObjects } from "../owned-objects.ts";
import { type IdentityRef, StoreError } from "../store.ts";
import { reading } from "./file-errors.ts";
import type { FileFormat } from "./file-format.ts";
import type { Files } from "./files.ts";
import { isNamespace, type Layout, refIn } from "./layout.ts";
import type { ObjectFiles } from "./object-files.ts";
import { pemSetOf, type PemSets } from "./pem-sets.ts";

export interface DirectoryBackendPorts {
  readonly files: Files;
  readonly layout: Layout;
  readonly objects: ObjectFiles;
  readonly pemSets: PemSets;
  readonly owned: OwnedObjects;
  /** Of what is looked at together. */
  readonly semaphore: Semaphore;
  readonly logger: Logger;
}

/** A part that was seen or written. */
interface Version {
  readonly ref: ObjectRef;
  readonly stamp: string;
  /** Rises with each new stamp, of any path. */
  readonly resourceVersion: string;
}

/**
 * Objects and PEM sets in a folder. A stamp that differs from the last one is a new resourceVersion. Notices of the
 * system only raise suspicion; a look at the stamp shows whether anything has changed. An object that is being
 * written stays suspect until that has ended, so that its own write is no change.
 */
export class DirectoryBackend implements Backend {
  /** A file is written whole: nothing of it could be given back. */
  readonly canAdopt = false;
  readonly #ports: DirectoryBackendPorts;
  /** By path. */
  readonly #versions = new Map<string, Version>();
  readonly #writing = new Set<string>();
  /** A failed write may have come to be, and not be on the disk: these are written again, whatever they contain. */
  readonly #unfinished = new Set<string>();
  readonly #suspects = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #version = 0;

  constructor(ports: DirectoryBackendPorts) {
    this.#ports = ports;
  }

  /** With the PEM set of an identity after its Secrets. */
  parts(identity: IdentityRef, manifests: readonly Manifest[]): readonly Part[] {
    const set = pemSetOf(identity, manifests);
    const afterSecrets = manifests.findLastIndex(({ kind }) => kind === "Secret") + 1;
    return set === undefined ? manifests : (manifests as readonly Part[]).toSpliced(afterSecrets, 0, set);
  }

  async read(ref: ObjectRef): Promise<Found | undefined> {
    const path = this.#ports.layout.path(ref);
    const found = await this.#formatOf(ref).inspect(path);
    switch (found.kind) {
      case "nothing":
        this.#versions.delete(path);
        return undefined;
      case "foreign": {
        const observed = this.#observed(ref, "", {});
        const { because } = found;
        return { observed, part: undefined, because, refusal: this.taken(ref, because) };
      }
      case "unparseable": {
        const observed = this.#seen(ref, found.stamp, {}, "unparseable");
        return { observed, part: undefined, because: "what is there is no object of Kubernetes" };
      }
      case "ours": {
        const content = this.#unfinished.has(path) ? undefined : found.digest;
        const observed = this.#seen(ref, found.stamp, found.annotations, content ?? "to be written again");
        return { observed, part: found.part };
      }
      default:
        return found satisfies never;
    }
  }

  async write(part: Part): Promise<ObservedObject> {
    const ref = refOfPart(part);
    const path = this.#ports.layout.path(ref);
    const format = this.#formatOf(ref);
    return this.#changing(path, async () => {
      this.#unfinished.add(path);
      const stamp = await format.write(path, part);
      this.#unfinished.delete(path);
      return this.#seen(ref, stamp, part.metadata.annotations, format.digestOf(part));
    });
  }

  async remove(ref: ObjectRef, before: Precondition): Promise<void> {
    const path = this.#ports.layout.path(ref);
    await this.#changing(path, async () => {
      const format = this.#formatOf(ref);
      const stamp = await format.stamp(path);
      if (stamp !== undefined) {
        if (!this.#isVersion(path, stamp, before)) throw new Changed();
        await format.remove(path);
      }
      this.#versions.delete(path);
      this.#unfinished.delete(path);
    });
  }

  async isCurrent(ref: ObjectRef, seen: ObservedObject | undefined): Promise<boolean> {
    const path = this.#ports.layout.path(ref);
    const stamp = await this.#formatOf(ref).stamp(path);
    if (stamp === undefined || seen === undefined) return stamp === undefined && seen === undefined;
    return this.#isVersion(path, stamp, seen) && !this.#unfinished.has(path);
  }

  isConflict(error: unknown): boolean {
    return error instanceof Changed;
  }

  /** What an object holds includes its metadata. */
  isMarked(): boolean {
    return true;
  }

  contentOf(part: Part): string {
    return this.#formatOf(part).digestOf(part);
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
    const { files, layout, owned, semaphore, logger } = this.#ports;
    const unlessUnreadable = async (work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        logger.warn({ err: error }, "something that may be published cannot be read");
      }
    };
    for (const namespace of (await namesIn(files, layout.root)).filter(isNamespace)) {
      await unlessUnreadable(async () => {
        const names = await namesIn(files, layout.namespace(namespace));
        const refs = names.flatMap((name) => refIn(namespace, name) ?? []);
        await semaphore.map(refs, (ref) =>
          unlessUnreadable(async () => {
            const found = await this.read(ref);
            if (found !== undefined) owned.see(found.observed);
          }),
        );
      });
    }
  }

  /** The folders of namespaces in which anything is. */
  get folders(): Set<string> {
    return new Set(this.#versions.keys().map((path) => dirname(path)));
  }

  /** Something has changed in `folder`; a path that is not known to be published is ignored. */
  suspect(folder: string, name?: string): void {
    const { root } = this.#ports.layout;
    const changed = name === undefined ? folder : join(folder, name);
    const isInside = (path: string) =>
      path === changed ||
      changed === root ||
      (dirname(path) === changed && (name === undefined || folder === root));
    for (const path of this.#versions.keys()) if (isInside(path)) this.#suspects.add(path);
  }

  /** Whether there is a suspect that attaché is not writing now. */
  get isSuspected(): boolean {
    return this.#suspects.values().some((path) => !this.#writing.has(path));
  }

  /** Looks at all suspects, and reports what has changed. */
  async look(): Promise<void> {
    const suspects = [...this.#suspects];
    this.#suspects.clear();
    await this.#ports.semaphore.map(suspects, (path) => this.#look(path));
  }

  /** Calls `listener` whenever a write has ended. */
  onWritten(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  async #look(path: string): Promise<void> {
    const { owned } = this.#ports;
    const version = this.#versions.get(path);
    // An apply is due anyway.
    if (version === undefined || this.#unfinished.has(path)) return;
    const { ref } = version;
    const stamp = await this.#stampNow(ref, path);
    if (this.#writing.has(path) || this.#versions.get(path) !== version) {
      this.#suspects.add(path);
      return;
    }
    const { content: _, ...seen } = owned.get(ref)?.seen ?? {};
    if (stamp === version.stamp || !("uid" in seen)) return;
    if (stamp === undefined) {
      this.#versions.delete(path);
      owned.lose(seen);
    } else {
      owned.see({ ...seen, resourceVersion: this.#versionOf(ref, path, stamp) });
    }
  }

  async #stampNow(ref: ObjectRef, path: string): Promise<string | undefined> {
    try {
      return await this.#formatOf(ref).stamp(path);
    } catch (error) {
      // The repair reports the error.
      if (error instanceof StoreError) return error.message;
      throw error;
    }
  }

  async #changing<T>(path: string, work: () => Promise<T>): Promise<T> {
    this.#writing.add(path);
    try {
      return await work();
    } finally {
      this.#writing.delete(path);
      for (const listener of this.#listeners) listener();
    }
  }

  #isVersion(path: string, stamp: string, { resourceVersion }: Precondition): boolean {
    const version = this.#versions.get(path);
    return version?.stamp === stamp && version.resourceVersion === resourceVersion;
  }

  #versionOf(ref: ObjectRef, path: string, stamp: string): string {
    const version = this.#versions.get(path);
    if (version?.stamp === stamp) return version.resourceVersion;
    const resourceVersion = String((this.#version += 1));
    this.#versions.set(path, { ref, stamp, resourceVersion });
    return resourceVersion;
  }

  #seen(
    ref: ObjectRef,
    stamp: string,
    annotations: ObservedObject["annotations"],
    content: string,
  ): ObservedObject {
    const path = this.#ports.layout.path(ref);
    const resourceVersion = this.#versionOf(ref, path, stamp);
    return { ...this.#observed(ref, path, annotations), resourceVersion, content };
  }

  /** @param uid the path of what may be attaché's; so it is known again after it was damaged. */
  #observed(
    { kind, namespace, name }: ObjectRef,
    uid: string,
    annotations: ObservedObject["annotations"],
  ): ObservedObject {
    const own = { labels: [], annotations: [] };
    return {
      kind,
      namespace,
      name,
      uid,
      resourceVersion: "0",
      labels: {},
      annotations,
      own,
      editor: undefined,
    };
  }

  #formatOf({ kind }: Pick<ObjectRef, "kind">): FileFormat<Part> {
    return kind === "PemSet" ? this.#ports.pemSets : this.#ports.objects;
  }
}

/** Another process was faster. */
class Changed extends Error {}

/** What is in one of attaché's own folders; nothing if there is no such folder. No link is followed. */
export async function namesIn(files: Files, folder: string): Promise<string[]> {
  return reading(folder, async () => {
    const facts = await files.lstat(folder);
    return facts?.kind === "folder" ? files.list(folder) : [];
  });
}
