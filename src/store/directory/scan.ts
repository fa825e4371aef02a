import { join } from "node:path";
import type { Semaphore } from "../../runtime/semaphore.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { StoreError } from "../store.ts";
import { reading } from "./file-errors.ts";
import type { Files } from "./files.ts";
import { isNamespace, kindOf, type Layout } from "./layout.ts";
import type { ObjectFiles } from "./object-files.ts";
import { entryOf, type OwnedFiles } from "./owned-files.ts";
import type { PemSets } from "./pem-sets.ts";

export interface ScanPorts {
  readonly files: Files;
  readonly layout: Layout;
  readonly owned: OwnedFiles;
  readonly objects: ObjectFiles;
  readonly pemSets: PemSets;
  readonly semaphore: Semaphore;
  readonly logger: Logger;
}

/**
 * Records what is published already: the marks on the objects are all that is remembered of it. What
 * cannot be read is logged and left out: it affects one identity, whose status reports it, and no other.
 */
export async function scan(ports: ScanPorts): Promise<void> {
  const { files, layout, owned, objects, pemSets, semaphore, logger } = ports;
  const media = { object: objects, pem: pemSets };

  async function unlessUnreadable(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn({ err: error }, "something that may be published cannot be read");
    }
  }

  async function enter(folder: string, name: string): Promise<void> {
    const kind = kindOf(name);
    if (kind === undefined) return;
    const path = join(folder, name);
    const found = await media[kind].inspect(path);
    if (found.kind === "ours") owned.set(entryOf(path, media[kind], found));
  }

  for (const namespace of (await namesIn(files, layout.root)).filter(isNamespace)) {
    const folder = layout.namespace(namespace);
    await unlessUnreadable(async () => {
      const names = await namesIn(files, folder);
      await semaphore.map(names, (name) => unlessUnreadable(() => enter(folder, name)));
    });
  }
}

/** What is in one of our own folders; nothing if there is no such folder. No link is followed. */
export async function namesIn(files: Files, folder: string): Promise<string[]> {
  return reading(folder, async () => {
    const facts = await files.lstat(folder);
    return facts?.kind === "folder" ? files.list(folder) : [];
  });
}
