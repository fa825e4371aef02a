import { hostname } from "node:os";
import type { LoadedSettings } from "../config/load.ts";
import type { History } from "../console/history.ts";
import { fromThisMachine } from "../console/loopback.ts";
import { tokenReviews } from "../console/reviews.ts";
import { startConsole } from "../console/server.ts";
import type { ConsoleSource } from "../console/source.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Platform } from "./platform.ts";
import { version } from "./version.ts";

export interface OpenConsoleOptions {
  readonly loaded: LoadedSettings;
  readonly source: ConsoleSource;
  readonly history: History;
  readonly platform: Platform;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** @throws AttacheError if the port is taken. */
export async function openConsole(options: OpenConsoleOptions) {
  const { loaded, platform, env, clock } = options;
  const { console: settings, installation, store } = loaded.settings;
  const { namespaces } = store.kubernetes;
  const { consoleAssets } = await import("#console-assets");
  const { namespace } = platform;
  const isInPod = (env["KUBERNETES_SERVICE_HOST"] ?? "") !== "";
  return startConsole({
    ...options,
    ...{ listen: settings.listen, installation, version },
    place: {
      isCluster: namespace !== undefined,
      settings: loaded.file,
      ...(namespace !== undefined && isInPod && { pod: { namespace, name: hostname() } }),
    },
    assets: await consoleAssets(),
    admit:
      settings.auth && platform.api
        ? tokenReviews({ api: platform.api, namespaces, clock })
        : fromThisMachine,
  });
}
