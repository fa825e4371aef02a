import type { Logger } from "../../telemetry/logger.ts";
import type { Files } from "./files.ts";
import type { FileFacts } from "./folder-calls.ts";

export interface FolderWatchesPorts {
  readonly files: Files;
  readonly logger: Logger;
  /** What changed in which folder, by its name if the system tells it. */
  readonly onChange: (folder: string, name: string | undefined) => void;
}

/**
 * Notices from the operating system that something in a folder has changed. They save time and are not
 * reliable: some mounts give none, and a folder that is replaced falls silent until the next `follow`.
 */
export class FolderWatches implements Disposable {
  readonly #ports: FolderWatchesPorts;
  readonly #watches = new Map<string, { readonly id: string; readonly watch: Disposable }>();
  #isSilenceReported = false;

  constructor(ports: FolderWatchesPorts) {
    this.#ports = ports;
  }

  /**
   * From now on these folders and no others; one that is not there is left out until the next time. Returns
   * those that are new: what happened in them before has given no notice.
   */
  async follow(folders: ReadonlySet<string>): Promise<string[]> {
    const opened: string[] = [];
    for (const folder of this.#watches.keys()) if (!folders.has(folder)) this.#close(folder);
    for (const folder of folders) {
      const facts = await this.#ports.files.stat(folder).catch(() => undefined);
      const id = facts?.kind === "folder" ? idOf(facts) : undefined;
      if (id === this.#watches.get(folder)?.id) continue;
      this.#close(folder);
      if (id === undefined) continue;
      this.#open(folder, id);
      opened.push(folder);
    }
    return opened;
  }

  [Symbol.dispose](): void {
    for (const folder of this.#watches.keys()) this.#close(folder);
  }

  #open(folder: string, id: string): void {
    const { files, onChange } = this.#ports;
    const failed = (error: unknown) => {
      this.#close(folder);
      this.#reportSilence(folder, error);
    };
    try {
      const watch = files.watch(folder, (name) => onChange(folder, name), failed);
      this.#watches.set(folder, { id, watch });
    } catch (error) {
      this.#reportSilence(folder, error);
    }
  }

  #close(folder: string): void {
    this.#watches.get(folder)?.watch[Symbol.dispose]();
    this.#watches.delete(folder);
  }

  #reportSilence(folder: string, error: unknown): void {
    if (this.#isSilenceReported) return;
    this.#isSilenceReported = true;
    this.#ports.logger.log("FolderNotWatched", { folder, err: error });
  }
}

function idOf({ dev, ino, birthtimeMs }: FileFacts): string {
  return `${dev}:${ino}:${birthtimeMs}`;
}
