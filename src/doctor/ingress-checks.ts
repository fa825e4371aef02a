import { systemClock } from "../runtime/clock.ts";
import type { EmissarySettings } from "../config/emissary.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { podsOf, urlOf } from "../ingress/pods.ts";
import { openScraper } from "../ingress/scraper.ts";
import type { KubeClient } from "../kube/client.ts";
import type { Check } from "../mesh/port.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import { contextsIn, leafCurve } from "./contexts.ts";
import { versionProblem } from "../mesh/kit/versions.ts";
import { supportedVersions } from "./supported-versions.ts";

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
    const pages = await Promise.all(
      pods.map((pod) => scraper.scrape(urlOf(pod, emissary), new Set(), asked)),
    );
    const versions = [...new Set(pages.flatMap(({ version: one }) => one ?? []))].map((one) =>
      sanitizePeerText(one),
    );
    const message =
      `${pods.length} of ${pods.length} pods say what they have loaded` +
      (versions.length > 0 ? `, version ${versions.join(" and ")}` : "");
    const problems = versions.flatMap((version) => versionProblem(supportedVersions.Emissary, version) ?? []);
    const [problem] = problems;
    if (problem === undefined) return { name, status: "ok", message };
    return {
      name,
      status: "warning",
      message: [`${message}, ${problem.message}`, ...(problem.isOld ? await unusableLeaves(api) : [])].join(
        ". ",
      ),
      remedy: problem.isOld
        ? "Upgrade to Emissary 4: older Envoys do not report certificates, so that a lost rotation is neither seen nor healed, and take leaves on P-256 and RSA only."
        : "Test before you rely on it.",
    };
  } catch (error) {
    if (!(error instanceof AttacheError)) throw error;
    return { name, status: "failed", message: error.problem, remedy: error.remedy };
  }
}

/** What an Envoy of Emissary 3 cannot load (envoyproxy/envoy#10855). */
async function unusableLeaves(api: KubeClient): Promise<string[]> {
  const contexts = await contextsIn(api, api.namespace);
  const found = await Promise.all(
    contexts.map(async ({ namespace, name, secret }) => {
      const curve = await leafCurve(api, secret);
      if (curve === undefined || curve === "prime256v1") return [];
      return sanitizePeerText(
        `It cannot load the leaf of TLSContext ${namespace}/${name}, on the curve ${curve}`,
      );
    }),
  );
  return found.flat();
}
