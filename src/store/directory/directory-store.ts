import { join, resolve } from "node:path";
import type { MeshCertificate, Status } from "../../api/mesh-certificate.ts";
import type { Manifest } from "../../render/manifest.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Owner } from "../backend.ts";
import { OwnedObjects } from "../owned-objects.ts";
import { Publisher } from "../publisher.ts";
import type { Applied, IdentityRef, Store, StoreEvent, Use } from "../store.ts";
import { DirectoryBackend, namesIn } from "./backend.ts";
import { Disk, type FolderThread, folderThread } from "./disk.ts";
import { type Files, nodeFiles } from "./files.ts";
import type { HeldRoot } from "./folder-calls.ts";
import { Layout } from "./layout.ts";
import { type HeldFolder, holdFolder, prepareRoot } from "./root-folder.ts";
import { StatusFiles } from "./status-files.ts";
import { noUsage } from "../usage.ts";
import { DirectoryWatch, type WatchTiming } from "./store-watch.ts";

export interface DirectoryStoreOptions {
  /** The folder that is written to, by this process alone; made if it is not there. */
  readonly path: string;
  /** Files and folders of MeshCertificates, watched for changes. */
  readonly identities: readonly string[];
  /** Whether PEM sets are published beside the manifests. */
  readonly pem: boolean;
  /** Part of the mark on what is published. */
  readonly installation: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly watch?: WatchTiming;
  /** In place of the real file system. */
  readonly files?: Files;
  /** In place of a real thread. */
  readonly thread?: ((root: HeldRoot) => FolderThread) | undefined;
}

/**
 * Opens the embedded store: MeshCertificates in YAML files, targets as YAML files. Its layout is in layout.ts.
 * @throws StoreError ATTACHE_STORE_LOCKED if another process has it, ATTACHE_STORE_UNWRITABLE if it takes no
 * writes or would take them from others too, ATTACHE_STORE_UNREADABLE if the folder itself cannot be read.
 */
export async function openDirectoryStore(options: DirectoryStoreOptions): Promise<DirectoryStore> {
  const { files = nodeFiles, logger } = options;
  const layout = new Layout(resolve(options.path));
  await prepareRoot(layout.root, files, logger);
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await holdFolder(layout.root, layout.lock, files));
  const thread = stack.use((options.thread ?? folderThread)(folder));
  const disk = new Disk({ thread, layout, logger });
  for (const name of await namesIn(folder.files, layout.temporary)) {
    await disk.change({ kind: "removal", path: join(layout.temporary, name), isDurable: false });
  }
  const store = new DirectoryStore({ ...options, files }, { layout, disk, folder, held: stack.move() });
  try {
    await store.list();
    return store;
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

type OpenOptions = DirectoryStoreOptions & { readonly files: Files };

interface OpenFolder {
  readonly layout: Layout;
  readonly disk: Disk;
  readonly folder: HeldFolder;
  /** What others may have again once the store is closed. */
  readonly held: AsyncDisposable;
}

export class DirectoryStore implements Store {
  readonly #options: OpenOptions;
  readonly #layout: Layout;
  readonly #held: AsyncDisposable;
  /** Called for each identity whose publication others have touched. */
  readonly #drifts = new Set<(owner: Owner) => void>();
  /** UIDs of identities for which something was published, and not withdrawn since. */
  readonly #known = new Set<string>();
  readonly #owned: OwnedObjects;
  readonly #backend: DirectoryBackend;
  readonly #statuses: StatusFiles;
  readonly #publisher: Publisher;
  readonly #running = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();

  constructor(options: OpenOptions, { layout, disk, folder, held }: OpenFolder) {
    const { installation, logger } = options;
    const { files } = folder;
    this.#options = options;
    this.#layout = layout;
    this.#held = held;
    const owned = new OwnedObjects({
      installation,
      onDrift: (owner) => this.#drifts.forEach((listener) => listener(owner)),
    });
    const backend = new DirectoryBackend({ files, layout, disk, owned, installation, logger });
    this.#owned = owned;
    this.#backend = backend;
    this.#statuses = new StatusFiles({ files, layout, disk });
    this.#publisher = new Publisher({
      ...{ backend, owned, installation, usage: noUsage },
      isKnown: (uid) => this.#known.has(uid),
      ...(options.pem && { parts: (identity, manifests) => backend.parts(identity, manifests) }),
    });
  }

  /** Records what is published already. */
  async list(): Promise<void> {
    await this.#backend.list();
    for (const { owner } of this.#owned.all()) this.#known.add(owner.uid);
  }

  watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    const watch = new DirectoryWatch({
      ...this.#options,
      layout: this.#layout,
      owned: this.#owned,
      backend: this.#backend,
      statuses: this.#statuses,
      drifts: this.#drifts,
    });
    return watch.events(AbortSignal.any([signal, this.#closed.signal]));
  }

  read(identity: MeshCertificate): Promise<Manifest[]> {
    return this.#run(() => this.#publisher.read(identity));
  }

  apply(identity: MeshCertificate, manifests: readonly Manifest[]): Promise<Applied> {
    this.#known.add(identity.metadata.uid ?? "");
    return this.#run(() => this.#publisher.apply(identity, manifests));
  }

  withdraw(identity: IdentityRef): Promise<void> {
    return this.#run(async () => {
      await this.#publisher.withdraw(identity);
      await this.#statuses.remove(identity);
      this.#known.delete(identity.metadata.uid ?? "");
    });
  }

  /** A folder does not record its consumers. */
  usesOf(): readonly Use[] {
    return [];
  }

  report(identity: MeshCertificate, status: Status): Promise<void> {
    return this.#run(() => this.#statuses.write(identity, status));
  }

  /** Waits for what is being written, then lets others have the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new Error("the store was closed"));
    await Promise.allSettled(this.#running);
    await this.#held[Symbol.asyncDispose]();
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.#closed.signal.throwIfAborted();
    const running = work();
    this.#running.add(running);
    return running.finally(() => this.#running.delete(running));
  }
}
