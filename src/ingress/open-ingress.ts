import type { EmissarySettings } from "../config/emissary.ts";
import type { KubeClient } from "../kube/client.ts";
import { IngressController, type IngressControllerPorts } from "./controller.ts";
import type { EmissaryPorts } from "./emissary-observer.ts";
import { urlOf, watchPods } from "./pods.ts";
import { openScraper } from "./scraper.ts";

interface IngressOptions extends Omit<IngressControllerPorts, "emissaries"> {
  /** Stays the caller's. */
  readonly api: KubeClient;
  readonly emissaries: readonly EmissarySettings[];
  readonly userAgent: string;
}

/**
 * Opens the ingress of the settings: its pods are watched from now on, and asked as soon as anything is
 * expected.
 */
export function openIngress(options: IngressOptions): IngressController {
  const emissaries = options.emissaries.map((settings) => emissaryOf(settings, options));
  return new IngressController({ ...options, emissaries });
}

function emissaryOf(settings: EmissarySettings, options: IngressOptions): EmissaryPorts {
  const { api, clock, logger } = options;
  const { ambassadorId: ambassadorIds, service, nudgeAfter: nudgeAfterMs, touchMappings } = settings;
  const { reconfigMaxDelay: reconfigMaxDelayMs, namespace = api.namespace } = settings;
  const scraper = openScraper(options);
  return {
    ...{ namespace, ambassadorIds, nudgeAfterMs, reconfigMaxDelayMs, touchMappings },
    name: `${namespace}/${service}`,
    pods: (onChange) => watchPods({ api, namespace, service, clock, logger, onChange }),
    ask: (pod, wanted, signal) => scraper.scrape(urlOf(pod, settings), wanted, signal),
    close: () => scraper[Symbol.asyncDispose](),
  };
}
