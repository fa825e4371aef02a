import { join, resolve } from "node:path";
import type { MeshCertificate, Status } from "../../api/mesh-certificate.ts";
import type { Manifest } from "../../render/manifest.ts";
import type { Clock } from "../../runtime/clock.ts";
import { Semaphore } from "../../runtime/semaphore.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Applied, IdentityRef, Store, StoreEvent, Use } from "../store.ts";
import { writing } from "./file-errors.ts";
import { type Files, nodeFiles } from "./files.ts";
import { parseIdentities } from "./identity-files.ts";
import { Layout } from "./layout.ts";
import { ObjectFiles } from "./object-files.ts";
import { OwnedFiles } from "./owned-files.ts";
import { PemSets } from "./pem-sets.ts";
import { PrivateFolders } from "./private-folders.ts";
import { DirectoryPublisher } from "./publication.ts";
import { Replacement } from "./replacement.ts";
import { lockFolder, prepareRoot } from "./root-folder.ts";
import { namesIn, scan } from "./scan.ts";
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

/** Identities that are written at the same time: the disk joins their syncs, and a few threads do them. */
const writers = 8;

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
  const owned = new OwnedFiles();
  await scan({ files, layout, owned, objects, pemSets, semaphore: new Semaphore(writers), logger });
  stack.move();
  return new DirectoryStore(options, {
    files,
    layout,
    lock,
    owned,
    statuses: new StatusFiles({ files, layout, folders, replacement }),
    publication: new DirectoryPublisher({ layout, owned, objects, pemSets, pem: options.pem }),
  });
}

interface Parts {
  readonly files: Files;
  readonly layout: Layout;
  readonly lock: AsyncDisposable;
  readonly owned: OwnedFiles;
  readonly statuses: StatusFiles;
  readonly publication: DirectoryPublisher;
}

export class DirectoryStore implements Store {
  readonly #options: DirectoryStoreOptions;
  readonly #parts: Parts;
  readonly #semaphore = new Semaphore(writers);
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
      semaphore: new Semaphore(writers),
      clock,
      logger,
      settleMs,
      rescanMs,
    });
    return watch.events(AbortSignal.any([signal, this.#closed.signal]));
  }

  read(identity: MeshCertificate): Promise<Manifest[]> {
    return this.#run(() => this.#parts.publication.read(identity));
  }

  apply(identity: MeshCertificate, manifests: readonly Manifest[]): Promise<Applied> {
    return this.#run(() => this.#parts.publication.apply(identity, manifests));
  }

  withdraw(identity: IdentityRef): Promise<void> {
    const { publication, statuses } = this.#parts;
    return this.#run(async () => {
      await publication.withdraw(identity);
      await statuses.remove(identity);
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
    await this.#semaphore.drained();
    await this.#parts.lock[Symbol.asyncDispose]();
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.#closed.signal.throwIfAborted();
    return this.#semaphore.run(work);
  }
}
