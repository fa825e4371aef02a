import { resolve } from "node:path";
import type { Clock } from "../../runtime/clock.ts";
import { LatestValue } from "../../runtime/latest-value.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Owner } from "../backend.ts";
import type { OwnedObjects } from "../owned-objects.ts";
import type { StoreEvent } from "../store.ts";
import { StoreError } from "../store.ts";
import type { DirectoryBackend } from "./backend.ts";
import type { Files } from "./files.ts";
import { FolderWatches } from "./folder-watches.ts";
import { FileIdentities, orphans } from "./identities.ts";
import { IdentityFiles, type Look } from "./identity-files.ts";
import type { Layout } from "./layout.ts";
import type { StatusFiles } from "./status-files.ts";

export interface WatchTiming {
  /** How long a file of MeshCertificates must stay as it is before it counts; 100 ms by default. */
  readonly settleMs?: number;
  /** How often everything is looked at, whether or not the system gives notice; 60 s by default. */
  readonly rescanMs?: number;
}

export interface DirectoryWatchPorts {
  /** Files and folders of MeshCertificates. */
  readonly identities: readonly string[];
  readonly files: Files;
  readonly layout: Layout;
  readonly owned: OwnedObjects;
  readonly backend: DirectoryBackend;
  readonly drifts: Set<(owner: Owner) => void>;
  readonly statuses: StatusFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly watch?: WatchTiming;
}

/** What it is time for, besides a look at the suspects. */
interface Due {
  identities: boolean;
  /** To see which folders there are to be watched. */
  folders: boolean;
}

/** A file that never comes to rest must not hold up the rest for ever: so many looks make the start. */
const looksAtStart = 10;

/**
 * One watch over a store's folders. It is level-triggered: a notice or the time for a rescan only says that it is time
 * to look, and the events are the differences between what is there and what was reported before.
 */
export class DirectoryWatch {
  readonly #ports: DirectoryWatchPorts;
  readonly #identityFiles: IdentityFiles;
  readonly #identities: FileIdentities;
  /** UIDs of identities whose publication others have touched. */
  readonly #drifted = new Set<string>();
  readonly #wakes = new LatestValue<Due>();
  readonly #due: Due = { identities: true, folders: true };
  #looks = 0;
  #isSynced = false;
  #areOrphansGone = false;
  #reported = "";

  constructor(ports: DirectoryWatchPorts) {
    this.#ports = ports;
    this.#identityFiles = new IdentityFiles(
      ports.identities.map((path) => resolve(path)),
      ports.files,
    );
    this.#identities = new FileIdentities(ports.statuses);
  }

  /** Ends only by throwing. */
  async *events(signal: AbortSignal): AsyncGenerator<StoreEvent> {
    const { backend, drifts, layout } = this.#ports;
    using stack = new DisposableStack();
    const sources = stack.use(this.#folders(() => (this.#due.identities = true)));
    const published = stack.use(
      this.#folders((folder, name) => {
        backend.suspect(folder, name);
        this.#due.folders ||= folder === layout.root;
      }),
    );
    const drifted = ({ uid }: Owner) => {
      this.#drifted.add(uid);
      this.#wake();
    };
    drifts.add(drifted);
    stack.defer(() => drifts.delete(drifted));
    const over = new AbortController();
    stack.defer(() => over.abort());
    void this.#rescans(AbortSignal.any([signal, over.signal]));
    this.#wake();
    for await (const due of this.#wakes.subscribe(signal)) {
      if (due.folders) {
        due.folders = false;
        const opened = await published.follow(backend.folders.add(layout.root));
        for (const folder of opened) backend.suspect(folder);
      }
      if (due.identities) {
        due.identities = false;
        await sources.follow(await this.#identityFiles.folders());
        yield* this.#lookAtIdentities(signal);
      }
      yield* this.#lookAtPublished();
    }
  }

  async *#lookAtIdentities(signal: AbortSignal): AsyncGenerator<StoreEvent> {
    const { clock, watch: { settleMs = 100 } = {} } = this.#ports;
    const look = await this.#identityFiles.look();
    this.#looks += 1;
    yield* await this.#identities.changes(look);
    yield* await this.#orphans(look);
    if (!this.#isSynced && (look.settled || this.#looks >= looksAtStart)) {
      this.#isSynced = true;
      yield { type: "synced" };
    }
    if (look.settled) return;
    await clock.sleep(settleMs, signal);
    this.#due.identities = true;
    this.#wake();
  }

  /**
   * Once all that was named could be read. Before, an identity that is missing may well stand in the very file
   * that cannot be read, or on the mount that is not there yet; what is wrongly withdrawn is traffic in plaintext.
   */
  async #orphans({ settled, problems, empty }: Look): Promise<StoreEvent[]> {
    const { owned, statuses } = this.#ports;
    const owners = [...owned.all()].flatMap(({ owner, seen }) => (seen === undefined ? [] : owner));
    if (this.#areOrphansGone || !settled || problems.size > 0) return [];
    try {
      const found = await orphans(owners, statuses, (uid) => this.#identities.keyOf(uid) !== undefined);
      if (found.length > 0 && empty.length > 0) return this.#report(suspiciouslyEmpty(empty, found.length));
      this.#areOrphansGone = true;
      return found.map((identity) => ({ type: "gone", identity }));
    } catch (error) {
      if (error instanceof StoreError) return this.#report(error);
      throw error;
    }
  }

  async *#lookAtPublished(): AsyncGenerator<StoreEvent> {
    const { backend } = this.#ports;
    await backend.look();
    const drifted = [...this.#drifted];
    this.#drifted.clear();
    for (const uid of drifted) {
      const key = this.#identities.keyOf(uid);
      if (key !== undefined) yield { type: "drift", key };
    }
  }

  #folders(onChange: (folder: string, name: string | undefined) => void): FolderWatches {
    const { files, logger } = this.#ports;
    return new FolderWatches({
      files,
      logger,
      onChange: (folder, name) => {
        onChange(folder, name);
        this.#wake();
      },
    });
  }

  async #rescans(signal: AbortSignal): Promise<void> {
    const { clock, watch: { rescanMs = 60_000 } = {} } = this.#ports;
    while (!signal.aborted) {
      await clock.sleep(rescanMs, signal).catch(() => undefined);
      Object.assign(this.#due, { identities: true, folders: true });
      this.#ports.backend.suspect(this.#ports.layout.root);
      this.#wake();
    }
  }

  #wake(): void {
    this.#wakes.publish(this.#due);
  }

  #report(error: StoreError): StoreEvent[] {
    if (this.#reported === error.message) return [];
    this.#reported = error.message;
    return [{ type: "invalid", error }];
  }
}

function suspiciouslyEmpty(sources: readonly string[], count: number): StoreError {
  return new StoreError(
    "ATTACHE_STORE_UNREADABLE",
    `no MeshCertificate is in ${sources.join(", ")}, and ${count} that are published are nowhere: nothing is withdrawn`,
    {
      remedy:
        "Bring the files back. If the identities are meant to go, remove what is empty, or remove them while attaché runs.",
    },
  );
}
