import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import { allOf } from "../../runtime/semaphore.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { StoreError } from "../store.ts";
import { reading, writing } from "./file-errors.ts";
import { type Files, isFileError, isPrivate, stampOf } from "./files.ts";
import type { Layout } from "./layout.ts";

export interface AtomicWriterPorts {
  readonly files: Files;
  readonly layout: Layout;
  readonly logger: Logger;
}

/**
 * Puts files, folders and links in their place whole or not at all: they are made in `.tmp`, which no reader
 * uses, and renamed. The next start removes what a crash leaves in `.tmp`.
 */
export class AtomicWriter {
  readonly #ports: AtomicWriterPorts;

  constructor(ports: AtomicWriterPorts) {
    this.#ports = ports;
  }

  /** A file in place of what is at `path`. Returns its stamp. */
  async file(path: string, text: string, options: { readonly durable: boolean }): Promise<string> {
    const { files } = this.#ports;
    return stampOf(await this.#place(path, options, (temporary) => files.create(temporary, text, options)));
  }

  /** A durable folder of files where nothing is. */
  async folder(path: string, contents: Readonly<Record<string, string>>): Promise<void> {
    const { files } = this.#ports;
    await this.#place(path, { durable: true }, async (temporary) => {
      await files.createFolder(temporary);
      // In parallel: the disk takes all of them in the time of one. No reader sees them before the rename.
      await allOf(
        Object.entries(contents).map(([name, text]) =>
          files.create(join(temporary, name), text, { durable: true }),
        ),
      );
      await files.sync(temporary);
    });
  }

  /** A symlink in place of another. */
  async link(path: string, target: string): Promise<void> {
    await this.#place(path, { durable: true }, (temporary) => this.#ports.files.symlink(target, temporary));
  }

  /** Durable, as that what is removed next must not be gone before. */
  async remove(path: string): Promise<void> {
    const { files } = this.#ports;
    await writing(path, async () => {
      await files.remove(path);
      await files.sync(dirname(path));
    });
  }

  /** Takes a folder away at once, however much is in it. */
  async removeFolder(path: string): Promise<void> {
    const { files, layout } = this.#ports;
    await this.ensureFolder(layout.temporary);
    const temporary = join(layout.temporary, randomUUID());
    await writing(path, async () => {
      await files.rename(path, temporary);
      await files.sync(dirname(path));
      await files.remove(temporary);
    });
  }

  /** Makes a folder for keys, 0700 also if another process made it, durably; its parent must be there. */
  async ensureFolder(folder: string): Promise<void> {
    const { files, logger } = this.#ports;
    const facts = await reading(folder, () => files.lstat(folder));
    if (facts === undefined) return this.#createFolder(folder);
    if (facts.kind !== "folder") {
      throw new StoreError("ATTACHE_STORE_UNWRITABLE", `${folder} is not a folder`, {
        remedy: "Move it away: attaché makes a folder there, and follows no link.",
      });
    }
    if (isPrivate(facts.mode)) return;
    logger.log("FolderClosed", { folder, mode: facts.mode.toString(8) });
    await writing(folder, () => files.chmod(folder, 0o700));
  }

  async #createFolder(folder: string): Promise<void> {
    const { files } = this.#ports;
    await writing(folder, async () => {
      try {
        await files.createFolder(folder);
      } catch (error) {
        // Another identity of the namespace was faster.
        if (!isFileError(error) || error.code !== "EEXIST") throw error;
      }
      await files.sync(dirname(folder));
    });
  }

  async #place<T>(
    path: string,
    { durable }: { readonly durable: boolean },
    make: (temporary: string) => Promise<T>,
  ): Promise<T> {
    const { files, layout } = this.#ports;
    await Promise.all([this.ensureFolder(layout.temporary), this.ensureFolder(dirname(path))]);
    const temporary = join(layout.temporary, randomUUID());
    return writing(path, async () => {
      try {
        const made = await make(temporary);
        await files.rename(temporary, path);
        if (durable) await files.sync(dirname(path));
        return made;
      } catch (error) {
        // Best effort: the next start clears it away.
        await files.remove(temporary).catch(() => undefined);
        throw error;
      }
    });
  }
}
