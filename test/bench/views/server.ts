/** A process that serves the console and the metrics of as many identities as its argument says. */
import { consoleAssets } from "#console-assets";
import { fromThisMachine } from "../../../src/console/loopback.ts";
import { History } from "../../../src/console/history.ts";
import { startConsole } from "../../../src/console/server.ts";
import { systemClock as clock } from "../../../src/runtime/clock.ts";
import { startServer } from "../../../src/server/server.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { shown } from "../../fixtures/console.ts";
import { metricsFor, stateWith } from "../../fixtures/state.ts";
import { many } from "../../peers/console/scene.ts";

const identities = many(Number(process.argv[2]));
const meshes = ["consul"];
const state = stateWith({
  identities: identities.map(({ identity: { metadata }, status }) => ({
    ...metadata,
    mesh: "consul",
    target: { secret: `${metadata.name}-mesh-cert`, tlsContext: metadata.name },
    status: {
      conditions: [],
      ...status,
      roots: [{ fingerprint: "a1", notAfter: "2035-01-01T00:00:00.000Z", state: "active" }],
    },
    rootNotBefore: () => new Date(0),
  })),
});
const listen = { host: "127.0.0.1", port: 0 };
const logger = createLogger("silent");
const served = await startServer({ listen, state, metrics: metricsFor(state), clock, logger });
const page = await startConsole({
  ...{ listen, clock, logger, installation: "bench", version: "0.0.0", admit: fromThisMachine },
  source: shown({ state, identities }),
  history: new History(clock, meshes),
  place: { isCluster: true, pod: { namespace: "attache", name: "attache-1" }, settings: "attache.yaml" },
  assets: await consoleAssets(),
});
process.send?.({ metrics: served.port, console: page.port });
