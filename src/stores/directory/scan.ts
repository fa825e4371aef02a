import { join } from "node:path";
import type { Files } from "./files.ts";
import { isNamespace, kindOf, type Layout } from "./layout.ts";
import { entryOf, type Ledger } from "./ledger.ts";
import { namesIn } from "./names-in.ts";
import type { ObjectFiles } from "./object-files.ts";
import type { PemSets } from "./pem-sets.ts";
import type { Slots } from "../slots.ts";

export interface ScanPorts {
  readonly files: Files;
  readonly layout: Layout;
  readonly ledger: Ledger;
  readonly objects: ObjectFiles;
  readonly pemSets: PemSets;
  readonly slots: Slots;
}

/** Enters into the ledger what is published already: the marks on the objects are all that is remembered of it. */
export async function scan({ files, layout, ledger, objects, pemSets, slots }: ScanPorts): Promise<void> {
  const media = { object: objects, pem: pemSets };
  const namespaces = (await namesIn(files, layout.root)).filter(isNamespace);
  for (const namespace of namespaces) {
    const folder = layout.namespace(namespace);
    await slots.map(await namesIn(files, folder), async (name) => {
      const kind = kindOf(name);
      if (kind === undefined) return;
      const path = join(folder, name);
      const found = await media[kind].inspect(path);
      if (found.kind === "ours") ledger.set(entryOf(path, media[kind], found));
    });
  }
}
