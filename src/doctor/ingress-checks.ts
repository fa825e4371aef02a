import { systemClock } from "../runtime/clock.ts";
import type { EmissarySettings } from "../config/emissary.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { podsOf, urlOf } from "../ingress/pods.ts";
import { openScraper } from "../ingress/scraper.ts";
import type { KubeClient } from "../kube/client.ts";
import type { Check } from "../mesh/port.ts";

interface IngressCheckOptions {
  readonly api: KubeClient;
  readonly emissaries: readonly EmissarySettings[];
  readonly userAgent: string;
}

/** Whether the pods of each Emissary say from here what they have loaded. */
export async function ingressChecks(options: IngressCheckOptions): Promise<Check[]> {
  return Promise.all(options.emissaries.map((emissary) => check(emissary, options)));
}

async function check(emissary: EmissarySettings, { api, userAgent }: IngressCheckOptions): Promise<Check> {
  const { service } = emissary;
  const { namespace = api.namespace } = emissary;
  const name = `Emissary ${namespace}/${service}`;
  try {
    const pods = await podsOf(api, namespace, service);
    if (pods.length === 0) {
      const remedy = "Does the Service exist, and does Emissary run? See `emissary:` in the settings.";
      return { name, status: "failed", message: "has no pod that is ready", remedy };
    }
    await using scraper = openScraper({ clock: systemClock, userAgent });
    const asked = new AbortController().signal;
    await Promise.all(pods.map((pod) => scraper.scrape(urlOf(pod, emissary), new Set(), asked)));
    return { name, status: "ok", message: `${pods.length} of ${pods.length} pods say what they have loaded` };
  } catch (error) {
    if (!(error instanceof AttacheError)) throw error;
    return { name, status: "failed", message: error.problem, remedy: error.remedy };
  }
}
