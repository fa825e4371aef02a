import type { Clock } from "../runtime/clock.ts";
import type { LoadedSettings } from "../config/load.ts";
import { servedByOf } from "../api/status.ts";
import { type Platform, type PlatformOptions, platformOf } from "./platform.ts";
import { openMeshes } from "./meshes.ts";
import { policies } from "../credentials/policies.ts";
import { History } from "../console/history.ts";
import type { ConsoleSource } from "../console/source.ts";
import { allowOf } from "../controller/allow.ts";
import { Controller, type ControllerPorts } from "../controller/controller.ts";
import type { Observer } from "../controller/observer.ts";
import type { Reconciler } from "../controller/reconciler.ts";
import { LeaderElectedRunner } from "../controller/leader-elected-runner.ts";
import { startServer } from "../server/server.ts";
import type { Store } from "../store/store.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { AttacheError } from "../errors/attache-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { SettingsState } from "../telemetry/state.ts";
import { hostAndPort } from "../text/host.ts";
import type { OpenConsoleOptions } from "./console.ts";
import { stateOf } from "./process-state.ts";
import { version } from "./version.ts";

interface AttacheOptions {
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For the probes and metrics; it may change. */
  readonly settings?: SettingsState;
  /** Instead of the one that the settings name. */
  readonly store?: Store;
  /** Called after each publication of a new credential. */
  readonly onPublished?: Observer["published"];
}

/** A running attaché. To dispose of it ends it, once what is being written is complete. */
export interface Attache extends AsyncDisposable {
  /** One for each identity of this replica; none while another replica leads. */
  readonly reconcilers: readonly Reconciler[];
  /** `127.0.0.1:9464`; `undefined` where nothing is served. */
  readonly address: string | undefined;
  /** Of the console: `127.0.0.1:9466`; `undefined` where it is off. */
  readonly consoleAddress: string | undefined;
  /** Ends when attaché does; rejects when it cannot go on. */
  readonly done: Promise<void>;
  /** Writes an Event in a cluster: newer settings were refused, and those of this process stay in force. */
  settingsRefused(error: unknown): void;
}

/**
 * Puts the parts together and starts them: the store, the meshes, the controller, the server.
 * @throws AttacheError if the settings can never work, the folder has another owner, or the port is taken.
 */
export async function startAttache(options: AttacheOptions): Promise<Attache> {
  const { loaded, clock, logger } = options;
  const { settings } = loaded;
  await using stack = new AsyncDisposableStack();
  const { store } = options;
  const state = stateOf(
    () => runner,
    () => meshes.byName,
    () => platform,
    options.settings,
  );
  const metrics = createMetrics({
    version,
    meshes: Object.keys(settings.meshes),
    policies: policies.map(({ name }) => name),
    installation: settings.installation,
    state,
  });
  const mayWrite = (): boolean => runner.mayWrite;
  const platform: Platform = stack.use(
    store === undefined
      ? await openPlatform({
          ...options,
          mayWrite,
          ingressObserver: metrics,
          requested: (verb, code, path) => {
            metrics.kubeRequest(verb, code);
            logger.log("ApiRequest", { verb, code, path });
          },
        })
      : platformOf(store, options),
  );
  for (const emissary of platform.ingress?.emissaries ?? []) metrics.watchesEmissary(emissary);
  const runner = new LeaderElectedRunner({
    terms: platform.terms,
    onLead: () => metrics.led(),
    controller: () => new Controller(ports),
    ...(platform.isShared && { standby: platform.store }),
    clock,
  });
  const meshes = stack.use(
    await openMeshes(
      {
        ...options,
        cluster: platform.cluster,
        onFailure: (mesh, { code }) => metrics.meshRequest({ mesh, code }),
      },
      (name) => runner.wake(name),
    ),
  );
  const history = settings.console.enabled ? new History(clock, Object.keys(settings.meshes)) : undefined;
  const ports: ControllerPorts = {
    meshes: meshes.byName,
    store: platform.store,
    ingress: platform.ingress,
    clock,
    logger,
    observer: {
      ...metrics,
      published: (rotation) => {
        metrics.published(rotation);
        history?.published(rotation);
        options.onPublished?.(rotation);
      },
      rejected: (rejection) => {
        metrics.rejected(rejection);
        history?.failed(rejection.mesh);
      },
      meshRequest: (answer) => {
        metrics.meshRequest(answer);
        if (answer.code !== "OK") history?.failed(answer.mesh);
      },
    },
    workerObserver: metrics,
    serviceAccountToken: (namespace, request) => platform.cluster.serviceAccountToken(namespace, request),
    allow: allowOf(settings.allow, platform.namespace),
    isStoreShared: platform.isShared,
    // No snapshots are made of a folder.
    rotationWindowMs: platform.isShared ? settings.limits.rotationWindow : 0,
    installation: settings.installation,
    servedBy:
      platform.namespace === undefined ? undefined : servedByOf(platform.namespace, settings.installation),
    clockSkewMs: settings.limits.clockSkew,
    limits: settings.limits,
  };
  const server = settings.server.enabled
    ? stack.use(await startServer({ ...settings.server, metrics, state, logger, clock }))
    : undefined;
  const source: ConsoleSource = {
    state,
    get identities() {
      return runner.reconcilers;
    },
    get exposures() {
      return platform.store.exposures;
    },
    get meshes() {
      return meshes.byName.values();
    },
    loadedOf: (identity) => platform.ingress?.loadedOf?.(identity),
  };
  const page = history && stack.use(await consoleOf({ ...options, source, history, platform }));
  const stop = new AbortController();
  const done = runner.run(stop.signal);
  // The caller awaits it in the end; until then a failure must not end the process.
  done.catch(() => undefined);
  stack.defer(async () => {
    stop.abort();
    await done.catch(() => undefined);
  });
  const owned = stack.move();
  return {
    get reconcilers() {
      return runner.reconcilers;
    },
    address: server && hostAndPort(server.address, server.port),
    consoleAddress: page && hostAndPort(page.address, page.port),
    done,
    settingsRefused: (error) =>
      platform.report?.({
        ...{ type: "Warning", reason: "SettingsRefused", action: "Reload" },
        note: `The new settings are wrong, and the old ones stay in force: ${error instanceof AttacheError ? error.message : String(error)}`,
      }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Few processes serve one at all. */
async function consoleOf(options: OpenConsoleOptions) {
  return (await import("./console.ts")).openConsole(options);
}

/** @throws AttacheError if the folder has another owner, or nothing says how the cluster is reached. */
async function openPlatform(options: PlatformOptions): Promise<Platform> {
  // Megabytes of code that a folder does without.
  if (options.loaded.settings.store.kind !== "directory") {
    return (await import("./cluster-platform.ts")).openCluster(options);
  }
  // Has a native lock, which commands that only print need not load.
  const { openDirectoryStore } = await import("../store/directory/directory-store.ts");
  const { loaded, clock, logger } = options;
  const { installation, store } = loaded.settings;
  return platformOf(await openDirectoryStore({ ...store.directory, installation, clock, logger }), options);
}
