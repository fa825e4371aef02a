import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { stringify } from "yaml";
import { storeConformance, type StorePeer } from "../../../test/conformance/store.ts";
import {
  changesOf,
  createDirectory,
  fileOf,
  statusWritesOf,
  written,
} from "../../../test/fixtures/directory.ts";

async function start(): Promise<StorePeer> {
  const directory = await createDirectory();
  const { files, path, identities } = directory;
  let writesLeft = Infinity;
  files.decide = ({ kind, path: target }) => {
    if (kind !== "rename" || !/(?:Secret|TLSContext)-[^/]+$/.test(target)) return undefined;
    writesLeft -= 1;
    return writesLeft < 0 ? { code: "ENOSPC" } : undefined;
  };
  const identityFile = (key: string) => `${key.replace("/", ".")}.yaml`;
  return {
    installation: "attache",
    namespace: "emissary",
    open: () => directory.open(),
    put: (key, spec) => directory.write(identityFile(key), [written(key, spec)]),
    remove: (key) => rm(join(identities, identityFile(key))),
    objects: () => directory.objects(),
    async putObject(manifest) {
      await mkdir(join(path, manifest.metadata.namespace), { recursive: true });
      await writeFile(join(path, fileOf(manifest)), stringify(manifest));
    },
    removeObject: (manifest) => rm(join(path, fileOf(manifest))),
    changes: () => changesOf(files),
    statusWrites: () => statusWritesOf(files),
    allowWrites: (count) => (writesLeft = count),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

describe("the directory store", () => {
  for (const { name, run, skip } of storeConformance({ start })) it.skipIf(skip !== undefined)(name, run);
});
