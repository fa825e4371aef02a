import type { Clock } from "./clock.ts";
import type { LoadedSettings } from "./config/load.ts";
import type { Adapter } from "./mesh/adapter.ts";
import { noToken } from "./mesh/no-token.ts";
import { loadAdapter } from "./mesh/registry.ts";
import { allowOf } from "./reconcile/allow.ts";
import { Controller } from "./reconcile/controller.ts";
import type { Observer } from "./reconcile/observer.ts";
import { type OpenMesh, openMesh } from "./reconcile/open-mesh.ts";
import { startServer } from "./server/server.ts";
import type { Store } from "./stores/store.ts";
import { createMetrics } from "./telemetry/metrics.ts";
import type { Logger } from "./telemetry/logger.ts";
import { stateOf } from "./state.ts";
import { version } from "./version.ts";

export interface AttacheOptions {
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Instead of the one that the settings name. */
  readonly store?: Store;
  /** Called after each publication of a new credential. */
  readonly onPublished?: Observer["published"];
}

/** A running attaché. To dispose of it ends it, once what is being written is complete. */
export interface Attache extends AsyncDisposable {
  readonly controller: Controller;
  /** `127.0.0.1:9464`; `undefined` where nothing is served. */
  readonly address: string | undefined;
  /** Ends when attaché does; rejects when it cannot go on. */
  readonly done: Promise<void>;
}

/**
 * Puts the parts together and starts them: the store, the meshes, the controller, the server.
 * @throws AttacheError if the settings can never work, the folder is somebody else's, or the port is taken.
 */
export async function startAttache(options: AttacheOptions): Promise<Attache> {
  const { loaded, clock, logger } = options;
  const { settings } = loaded;
  await using stack = new AsyncDisposableStack();
  const meshes = new Map<string, OpenMesh>();
  const state = stateOf(() => controller, meshes);
  const metrics = createMetrics({ version, state });
  for (const name of Object.keys(settings.meshes)) {
    meshes.set(name, stack.use(await openConfigured(name, options, () => controller.ring(name))));
  }
  const store = stack.use(options.store ?? (await openConfiguredStore(options)));
  const controller = new Controller({
    meshes,
    store,
    clock,
    logger,
    observer: {
      ...metrics,
      published: (rotation) => {
        metrics.published(rotation);
        options.onPublished?.(rotation);
      },
    },
    serviceAccountToken: noToken,
    allow: allowOf(settings.allow, undefined),
    isStoreShared: false,
    installation: settings.installation,
    clockSkewMs: settings.limits.clockSkew,
    limits: { secretBytes: settings.limits.secretBytes },
  });
  const server = settings.server.enabled
    ? stack.use(await startServer({ listen: settings.server.listen, metrics, state, logger, clock }))
    : undefined;
  const stop = new AbortController();
  const done = controller.run(stop.signal);
  // Whoever starts attaché awaits it in the end; until then a failure must not end the process.
  done.catch(() => undefined);
  stack.defer(async () => {
    stop.abort();
    await done.catch(() => undefined);
  });
  const owned = stack.move();
  return {
    controller,
    address: server && `${server.address}:${server.port}`,
    done,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** @throws AttacheError if a mesh names no adapter, or its settings are not what the adapter takes. */
export async function checkMeshes(loaded: LoadedSettings): Promise<void> {
  for (const [name, { adapter: kind }] of Object.entries(loaded.settings.meshes)) {
    const adapter = await loadAdapter(kind, loaded.directory);
    loaded.meshSettings(name, adapter.settings);
  }
}

async function openConfiguredStore({ loaded: { settings }, clock, logger }: AttacheOptions): Promise<Store> {
  // Has a native lock, which commands that only print need not load.
  const { openDirectoryStore } = await import("./stores/directory/directory-store.ts");
  const { kind, directory } = settings.store;
  if (kind === "kubernetes") throw new Error("the store kubernetes is not there yet");
  return openDirectoryStore({ ...directory, installation: settings.installation, clock, logger });
}

async function openConfigured(
  name: string,
  { loaded, clock, logger, env }: AttacheOptions,
  onChange: () => void,
): Promise<OpenMesh> {
  const { adapter: kind = "", trust, trustDomain } = loaded.settings.meshes[name] ?? {};
  const adapter: Adapter<unknown, unknown> = await loadAdapter(kind, loaded.directory);
  const context = { name, clock, env, logger: logger.child({ mesh: name }) };
  return openMesh(adapter, context, {
    settings: loaded.meshSettings(name, adapter.settings),
    retainMs: trust?.retain,
    trustDomain,
    onConnection: (state) => {
      if (state.connected) context.logger.info("the mesh is there");
      else context.logger.warn({ err: state.error }, "the mesh is away");
      onChange();
    },
  });
}
