import { parseSettings, type LoadedSettings } from "../config/load.ts";
import type { KubeClient } from "../kube/client.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { viewCluster } from "../store/kubernetes/view.ts";
import { newestLease } from "./leadership.ts";
import { type Replica, replicasOf } from "./replicas.ts";

/** An installation of attaché, as far as the caller may see it. */
export interface Installation {
  readonly name: string;
  /** Where it runs, or may run. */
  readonly home: string;
  readonly replicas: readonly Replica[];
  /** Whether it has published something. */
  readonly hasPublished: boolean;
  /** The text of its settings in the ConfigMap, and what it means; absent where it is not readable. */
  readonly settings?: { readonly text: string; readonly loaded?: LoadedSettings };
}

interface Search {
  readonly api: KubeClient;
  /** Where the caller looks: for MeshCertificates, and for attaché if no lease says where it is. */
  readonly namespace: string | undefined;
  /** Those that the caller names. */
  readonly named: readonly string[];
}

/** The installations that are named, else those whose MeshCertificates are there, else the default one. */
export async function installationsOf(search: Search): Promise<Installation[]> {
  const { api, namespace, named } = search;
  const { views } = await viewCluster(api, { namespace }).catch(() => ({ views: [] }));
  const publishing = new Set(views.flatMap(({ installations }) => installations));
  const found = named.length > 0 ? named : [...publishing];
  const names = found.length > 0 ? found : ["attache"];
  return Promise.all(names.map(async (name) => installationOf(name, search, publishing.has(name))));
}

async function installationOf(
  name: string,
  { api, namespace = api.namespace }: Search,
  hasPublished: boolean,
): Promise<Installation> {
  const namespaces = [...new Set([namespace, api.namespace])];
  const lease = await newestLease({ api, installation: name, namespaces }).catch(() => undefined);
  const home = lease?.metadata.namespace ?? namespace;
  const replicas = await replicasOf(api, name, home).catch(() => []);
  const text = await settingsText(api, replicas[0]).catch(() => undefined);
  return { name, home, replicas, hasPublished, ...(text !== undefined && { settings: settingsIn(text) }) };
}

async function settingsText(api: KubeClient, replica: Replica | undefined): Promise<string | undefined> {
  if (replica?.settings === undefined) return undefined;
  const { configMap, key } = replica.settings;
  const path = pathOf(resources.configMaps, { namespace: replica.namespace, name: configMap });
  const { data } = await api.request<{ readonly data?: Readonly<Record<string, string>> }>({
    method: "GET",
    path,
  });
  return data?.[key];
}

function settingsIn(text: string): NonNullable<Installation["settings"]> {
  try {
    return { text, loaded: parseSettings(text, "attache.yaml") };
  } catch {
    // attaché refuses them, too, and says so.
    return { text };
  }
}
