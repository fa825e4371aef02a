import type { Clock } from "../runtime/clock.ts";
import type { EmissarySettings } from "../config/emissary.ts";
import type { KubeClient } from "../kube/client.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Consumption } from "./consumption.ts";
import type { EmissaryPorts } from "./emissary.ts";
import { EmissaryIngress, type IngressObserver } from "./emissary-ingress.ts";
import type { Ingress } from "./ingress.ts";
import { urlOf, watchPods } from "./pods.ts";
import { openScraper, type Scraper } from "./scraper.ts";

export interface IngressOptions {
  /** Stays the caller's. */
  readonly api: KubeClient;
  readonly emissaries: readonly EmissarySettings[];
  readonly consumption: Consumption;
  readonly observer: IngressObserver;
  readonly userAgent: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Opens the ingress that the settings describe: its pods are watched from now on, and asked as soon as anything is expected. */
export function openIngress(options: IngressOptions): Ingress {
  const scraper = openScraper(options);
  const ingress = new EmissaryIngress({
    ...options,
    emissaries: options.emissaries.map((settings) => emissaryOf(settings, scraper, options)),
  });
  return {
    expect: (identity, target) => ingress.expect(identity, target),
    forget: (identity) => ingress.forget(identity),
    servedOf: (identity) => ingress.servedOf(identity),
    onChange: (listener) => ingress.onChange(listener),
    get health() {
      return ingress.health;
    },
    async [Symbol.asyncDispose]() {
      await ingress[Symbol.asyncDispose]();
      await scraper[Symbol.asyncDispose]();
    },
  };
}

function emissaryOf(
  { ambassadorId, service, port, path, nudgeAfter, ...settings }: EmissarySettings,
  scraper: Scraper,
  { api, clock, logger }: IngressOptions,
): Omit<EmissaryPorts, "onAnswer" | "onPods" | "clock"> {
  const { namespace = api.namespace } = settings;
  return {
    name: `${namespace}/${service}`,
    namespace,
    ambassadorIds: ambassadorId,
    nudgeAfterMs: nudgeAfter,
    pods: (onChange) => watchPods({ api, namespace, service, clock, logger, onChange }),
    ask: (pod, wanted, signal) => scraper.scrape(urlOf(pod, { port, path }), wanted, signal),
  };
}
