import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import { allOf } from "../../runtime/semaphore.ts";
import { writing } from "./file-errors.ts";
import { type Files, stampOf } from "./files.ts";
import type { Layout } from "./layout.ts";
import type { PrivateFolders } from "./private-folders.ts";

export interface ReplacementPorts {
  readonly files: Files;
  readonly layout: Layout;
  readonly folders: PrivateFolders;
}

/**
 * Puts files, folders and links in their place whole or not at all: they are made in `.tmp`, which no reader
 * uses, and renamed. The next start removes what a crash leaves in `.tmp`.
 */
export class Replacement {
  readonly #ports: ReplacementPorts;

  constructor(ports: ReplacementPorts) {
    this.#ports = ports;
  }

  /** A file in place of what is at `path`. Returns its stamp. */
  async file(path: string, text: string, options: { readonly durable: boolean }): Promise<string> {
    const { files } = this.#ports;
    return this.#place(path, options, async (temporary) => {
      return stampOf(await files.create(temporary, text, options));
    });
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
    const { files } = this.#ports;
    await this.#place(path, { durable: true }, (temporary) => files.symlink(target, temporary));
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
    const { files, layout, folders } = this.#ports;
    await folders.ensure(layout.temporary);
    const temporary = join(layout.temporary, randomUUID());
    await writing(path, async () => {
      await files.rename(path, temporary);
      await files.sync(dirname(path));
      await files.remove(temporary);
    });
  }

  async #place<T>(
    path: string,
    { durable }: { readonly durable: boolean },
    make: (temporary: string) => Promise<T>,
  ): Promise<T> {
    const { files, layout, folders } = this.#ports;
    await Promise.all([folders.ensure(layout.temporary), folders.ensure(dirname(path))]);
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
