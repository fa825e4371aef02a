import { join, resolve } from "node:path";
import type { MeshCertificate, Status } from "../../api/mesh-certificate.ts";
import type { Manifest } from "../../render/manifest.ts";
import type { Clock } from "../../runtime/clock.ts";
import { Semaphore } from "../../runtime/semaphore.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Applier } from "../applier.ts";
import type { Owner } from "../backend.ts";
import { noUses } from "../context-uses.ts";
import { OwnedObjects } from "../owned-objects.ts";
import { Publisher } from "../publisher.ts";
import type { Applied, IdentityRef, Store, StoreEvent, Use } from "../store.ts";
import { DirectoryBackend, namesIn } from "./backend.ts";
import { writing } from "./file-errors.ts";
import { type Files, nodeFiles } from "./files.ts";
import { parseIdentities } from "./identity-files.ts";
import { Layout } from "./layout.ts";
import { ObjectFiles } from "./object-files.ts";
import { PemSets } from "./pem-sets.ts";
import { PrivateFolders } from "./private-folders.ts";
import { Replacement } from "./replacement.ts";
import { lockFolder, prepareRoot } from "./root-folder.ts";
import { StatusFiles } from "./status-files.ts";
import { DirectoryWatch } from "./store-watch.ts";

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
}

export interface WatchTiming {
  /** How long a file of MeshCertificates must stay as it is before it counts; 100 ms by default. */
  readonly settleMs?: number;
  /** How often everything is looked at, whether or not the system gives notice; 60 s by default. */
  readonly rescanMs?: number;
}

/** Files that are looked at or read at the same time. */
const readers = 8;

/**
 * Opens the embedded store: MeshCertificates in YAML files, targets as YAML files. Its layout is in layout.ts.
 * @throws StoreError ATTACHE_STORE_LOCKED if another process has it, ATTACHE_STORE_UNWRITABLE if it takes no
 * writes or would take them from others too, ATTACHE_STORE_UNREADABLE if the folder itself cannot be read.
 */
export async function openDirectoryStore(options: DirectoryStoreOptions): Promise<DirectoryStore> {
  const { files = nodeFiles, logger, installation } = options;
  const layout = new Layout(resolve(options.path));
  await prepareRoot(layout.root, files, logger);
  await using stack = new AsyncDisposableStack();
  const lock = stack.use(await lockFolder(layout.root, layout.lock));
  for (const name of await namesIn(files, layout.temporary)) {
    await writing(layout.temporary, () => files.remove(join(layout.temporary, name)));
  }
  const folders = new PrivateFolders({ files, logger });
  const replacement = new Replacement({ files, layout, folders });
  const objects = new ObjectFiles({ files, replacement, installation });
  const pemSets = new PemSets({ files, folders, replacement, installation });
  const drifts = new Set<(owner: Owner) => void>();
  const onDrift = (owner: Owner) => drifts.forEach((listener) => listener(owner));
  const owned = new OwnedObjects({ installation, onDrift });
  const semaphore = new Semaphore(readers);
  const backend = new DirectoryBackend({ files, layout, objects, pemSets, owned, semaphore, logger });
  await backend.list();
  const known = new Set(Array.from(owned.all(), ({ owner }) => owner.uid));
  stack.move();
  const statuses = new StatusFiles({ files, layout, folders, replacement });
  const publisher = new Publisher({
    ...{ backend, owned, uses: noUses, isKnown: (uid) => known.has(uid) },
    applier: new Applier({ backend, owned, installation }),
    ...(options.pem && { parts: (identity, manifests) => backend.parts(identity, manifests) }),
  });
  return new DirectoryStore(options, {
    files,
    layout,
    lock,
    drifts,
    known,
    owned,
    backend,
    statuses,
    publisher,
  });
}

interface Parts {
  readonly files: Files;
  readonly layout: Layout;
  readonly lock: AsyncDisposable;
  /** Called for each identity whose publication others have touched. */
  readonly drifts: Set<(owner: Owner) => void>;
  /** UIDs of identities for which something was published, and not withdrawn since. */
  readonly known: Set<string>;
  readonly owned: OwnedObjects;
  readonly backend: DirectoryBackend;
  readonly statuses: StatusFiles;
  readonly publisher: Publisher;
}

export class DirectoryStore implements Store {
  readonly #options: DirectoryStoreOptions;
  readonly #parts: Parts;
  readonly #running = new Set<Promise<unknown>>();
  readonly #closed = new AbortController();

  constructor(options: DirectoryStoreOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
  }

  watch(signal: AbortSignal): AsyncIterable<StoreEvent> {
    const { identities, clock, logger, watch: { settleMs = 100, rescanMs = 60_000 } = {} } = this.#options;
    const paths = identities.map((path) => resolve(path));
    const watch = new DirectoryWatch({
      ...this.#parts,
      identities: paths,
      parse: parseIdentities,
      semaphore: new Semaphore(readers),
      clock,
      logger,
      settleMs,
      rescanMs,
    });
    return watch.events(AbortSignal.any([signal, this.#closed.signal]));
  }

  read(identity: MeshCertificate): Promise<Manifest[]> {
    return this.#run(() => this.#parts.publisher.read(identity));
  }

  apply(identity: MeshCertificate, manifests: readonly Manifest[]): Promise<Applied> {
    const { known, publisher } = this.#parts;
    known.add(identity.metadata.uid ?? "");
    return this.#run(() => publisher.apply(identity, manifests));
  }

  withdraw(identity: IdentityRef): Promise<void> {
    const { known, publisher, statuses } = this.#parts;
    return this.#run(async () => {
      await publisher.withdraw(identity);
      await statuses.remove(identity);
      known.delete(identity.metadata.uid ?? "");
    });
  }

  /** A folder does not record its consumers. */
  usesOf(): readonly Use[] {
    return [];
  }

  report(identity: MeshCertificate, status: Status): Promise<void> {
    return this.#run(() => this.#parts.statuses.write(identity, status));
  }

  /** Waits for what is being written, then lets others have the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort(new Error("the store was closed"));
    await Promise.allSettled(this.#running);
    await this.#parts.lock[Symbol.asyncDispose]();
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.#closed.signal.throwIfAborted();
    const running = work();
    this.#running.add(running);
    return running.finally(() => this.#running.delete(running));
  }
}
