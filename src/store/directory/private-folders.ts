import { dirname } from "node:path";
import type { Logger } from "../../telemetry/logger.ts";
import { StoreError } from "../store.ts";
import { reading, writing } from "./file-errors.ts";
import { isPrivate } from "./file-format.ts";
import { type FileFacts, type Files, isFileError } from "./files.ts";

export interface PrivateFoldersPorts {
  readonly files: Files;
  readonly logger: Logger;
}

/** The folders in which keys lie: 0700, also if another process made them. */
export class PrivateFolders {
  readonly #ports: PrivateFoldersPorts;

  constructor(ports: PrivateFoldersPorts) {
    this.#ports = ports;
  }

  /** Makes the folder if it is not there, durably; its parent must be. */
  async ensure(folder: string): Promise<void> {
    const facts = await this.#facts(folder);
    if (facts === undefined) await this.#create(folder);
    else await this.#tighten(folder, facts);
  }

  /** Removes the permissions of group and others from attaché's folder. */
  async tighten(folder: string): Promise<void> {
    const facts = await this.#facts(folder);
    if (facts !== undefined) await this.#tighten(folder, facts);
  }

  async #create(folder: string): Promise<void> {
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

  async #tighten(folder: string, { kind, mode }: FileFacts): Promise<void> {
    if (kind !== "folder") {
      throw new StoreError("ATTACHE_STORE_UNWRITABLE", `${folder} is not a folder`, {
        remedy: "Move it away: attaché makes a folder there, and follows no link.",
      });
    }
    if (isPrivate(mode)) return;
    this.#ports.logger.warn(
      { folder, mode: mode.toString(8) },
      "others had access to a folder of keys: closed",
    );
    await writing(folder, () => this.#ports.files.chmod(folder, 0o700));
  }

  #facts(folder: string): Promise<FileFacts | undefined> {
    return reading(folder, () => this.#ports.files.lstat(folder));
  }
}
