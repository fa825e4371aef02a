import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { defaultLimits } from "../../src/credentials/candidate.ts";
import { noToken } from "../../src/mesh/no-token.ts";
import { allowAll } from "../../src/reconcile/allow.ts";
import { Controller } from "../../src/reconcile/controller.ts";
import type { Observer } from "../../src/reconcile/observer.ts";
import { openMesh } from "../../src/reconcile/open-mesh.ts";
import { openDirectoryStore } from "../../src/stores/directory/directory-store.ts";
import { createLogger } from "../../src/telemetry/logger.ts";
import { type PreparedMesh, preparedMesh } from "./prepared-mesh.ts";

/** attaché in this process, over a prepared mesh and a directory store. */
export interface BenchProcess extends AsyncDisposable {
  readonly mesh: PreparedMesh;
  /** Objects written so far. */
  readonly writes: number;
  /** How often a target was found to be as it should, or made so. */
  readonly applies: number;
  onPublished: Observer["published"];
}

export async function startProcess(folder: string): Promise<BenchProcess> {
  const clock = systemClock;
  const logger = createLogger("warn");
  const mesh = preparedMesh();
  const counts = { writes: 0, applies: 0 };
  const open = openMesh(
    mesh.adapter,
    { name: "bench", clock, logger, env: {} },
    { settings: { directory: folder }, onConnection: () => undefined },
  );
  const store = await openDirectoryStore({
    path: join(folder, "published"),
    identities: [join(folder, "identities")],
    pem: false,
    installation: "bench",
    clock,
    logger,
  });
  const bench: Pick<BenchProcess, "onPublished"> = { onPublished: () => undefined };
  const controller = new Controller({
    meshes: new Map([["bench", open]]),
    store,
    clock,
    logger,
    observer: {
      published: (rotation) => bench.onPublished(rotation),
      applied: (writes) => {
        counts.writes += writes;
        counts.applies += 1;
      },
      rejected: () => undefined,
      meshError: () => undefined,
      storeError: () => undefined,
    },
    serviceAccountToken: noToken,
    allow: allowAll,
    isStoreShared: false,
    installation: "bench",
    clockSkewMs: 60_000,
    limits: defaultLimits,
  });
  const stop = new AbortController();
  const done = controller.run(stop.signal);
  return {
    mesh,
    get writes() {
      return counts.writes;
    },
    get applies() {
      return counts.applies;
    },
    get onPublished() {
      return bench.onPublished;
    },
    set onPublished(listener) {
      bench.onPublished = listener;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
      await store[Symbol.asyncDispose]();
      await open[Symbol.asyncDispose]();
    },
  };
}
