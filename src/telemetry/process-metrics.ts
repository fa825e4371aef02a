import { collectDefaultMetrics, Registry } from "prom-client";

let registry: Registry | undefined;

/**
 * Memory, CPU, garbage collection and event loop delay, under the names that prom-client gives them. One for the
 * process, as it observes the process and cannot be stopped.
 */
export function processMetrics(): Registry {
  if (registry === undefined) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry });
    for (const name of costly) registry.removeSingleMetric(name);
  }
  return registry;
}

/** They list every timer and socket at each scrape, and each waiting identity has one. */
const costly = ["handles", "requests", "resources"].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
]);
