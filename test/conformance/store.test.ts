import { describe, it } from "vitest";
import { meshCertificate } from "../../src/api/mesh-certificate.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import { ownershipAnnotations } from "../../src/render/marks.ts";
import { StoreError } from "../../src/store/store.ts";
import { createMemoryStore } from "../fixtures/memory-store.ts";
import { idOf } from "./store-scenario.ts";
import { storeConformance, type StorePeer } from "./store.ts";

function start(): Promise<StorePeer> {
  const store = createMemoryStore();
  const changes: string[] = [];
  let writesLeft = Infinity;
  store.beforeWrite = () => {
    writesLeft -= 1;
    if (writesLeft < 0) throw new StoreError("ATTACHE_STORE_UNWRITABLE", "the test allows no more writes");
  };
  const keyOf = (manifest: Manifest) =>
    manifest.metadata.annotations[ownershipAnnotations.identity]?.replace("uid-of-", "");
  const pathOf = (manifest: Manifest) => `${manifest.metadata.namespace}/${idOf(manifest)}`;
  const [set, remove] = [store.objects.set.bind(store.objects), store.objects.delete.bind(store.objects)];
  store.objects.set = (path, manifest) => {
    changes.push(`+${idOf(manifest)}`);
    return set(path, manifest);
  };
  store.objects.delete = (path) => {
    changes.push(`-${path.slice(path.indexOf("/") + 1)}`);
    return remove(path);
  };
  const drifted = (manifest: Manifest) => {
    const [namespace, name] = keyOf(manifest)?.split("/") ?? [];
    if (namespace !== undefined && name !== undefined) store.drift(`${namespace}/${name}`);
  };
  return Promise.resolve({
    installation: "attache",
    namespace: "emissary",
    open: () => Promise.resolve(store),
    put(key, spec) {
      const [namespace, name] = key.split("/");
      const [apiVersion, kind] = ["attache.dev/v1alpha1", "MeshCertificate"];
      store.put(meshCertificate.parse({ apiVersion, kind, metadata: { name, namespace }, spec }));
      return Promise.resolve();
    },
    remove(key) {
      store.remove(key);
      return Promise.resolve();
    },
    objects: () => Promise.resolve([...store.objects.values()]),
    putObject(manifest) {
      set(pathOf(manifest), manifest);
      drifted(manifest);
      return Promise.resolve();
    },
    removeObject(manifest) {
      remove(pathOf(manifest));
      drifted(manifest);
      return Promise.resolve();
    },
    changes: () => changes,
    statusWrites: () => store.statusWrites,
    allowWrites: (count) => (writesLeft = count),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

describe("the store in memory", () => {
  for (const { name, run, skip } of storeConformance({ start })) it.skipIf(skip !== undefined)(name, run);
});
