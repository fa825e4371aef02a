import { access } from "node:fs/promises";
import type { MeshCertificate } from "../api/mesh-certificate.ts";
import type { LoadedSettings } from "../config/load.ts";
import type { Access } from "../kube/access.ts";
import { type KubeClient, openKubeClient, type TextClient } from "../kube/client.ts";
import { loadAccess } from "../kube/load-access.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { version } from "../app/version.ts";
import { UsageError } from "./errors.ts";
import { isKubectlPlugin, type PlaceOptions } from "./options.ts";
import { defaultSettingsFile, settingsOf } from "./settings.ts";
import { requestTimeoutOf } from "./signals.ts";

/** The store that a command reads: that of the settings, or a cluster as kubectl does. */
export type CommandPlace = DirectoryPlace | ClusterPlace;

export interface DirectoryPlace extends AsyncDisposable {
  readonly kind: "directory";
  readonly loaded: LoadedSettings;
}

export interface ClusterPlace extends AsyncDisposable {
  readonly kind: "kubernetes";
  readonly api: KubeClient & TextClient;
  /** `undefined`: all. */
  readonly namespace: string | undefined;
  /** Absent if the command reads the cluster without settings. */
  readonly loaded?: LoadedSettings | undefined;
}

/**
 * A cluster where flags name one, in a plug-in of kubectl, where the settings have the store `kubernetes`,
 * and where there are no settings at all; the directory of the settings otherwise.
 */
export async function placeOf(options: PlaceOptions): Promise<CommandPlace> {
  const loaded = await settingsIfThere(options);
  const store = loaded?.settings.store;
  if (store?.kind === "directory" && loaded !== undefined) {
    if (namesCluster(options)) throw contradiction();
    return { kind: "directory", loaded, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const { namespace, allNamespaces, requestTimeout } = options;
  if (namespace !== undefined && allNamespaces) {
    throw new UsageError("-A is all namespaces, and -n one", { remedy: "Leave one of them out." });
  }
  const api = openKubeClient(await accessTo(options, loaded), {
    userAgent: `attache/${version}`,
    ...(requestTimeout !== undefined && { timeoutMs: requestTimeoutOf(requestTimeout) }),
  });
  return {
    kind: "kubernetes",
    api,
    namespace: allNamespaces ? undefined : (namespace ?? api.namespace),
    loaded,
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

/** @throws UsageError for a directory store, which does not support `what`. */
export async function clusterOf(options: PlaceOptions, what: string): Promise<ClusterPlace> {
  const place = await placeOf(options);
  if (place.kind === "kubernetes") return place;
  const remedy = "Leave --config out, or name settings with `store: { kind: kubernetes }`.";
  throw new UsageError(`${what} is for clusters, and the settings name a directory`, { remedy });
}

/**
 * Sets an annotation of a MeshCertificate, which requests an action of attaché: in the cluster, or in the
 * file that has it.
 */
export async function annotate(
  place: CommandPlace,
  identity: MeshCertificate,
  annotation: string,
  value: string,
): Promise<void> {
  if (place.kind === "directory") {
    const { annotateFile } = await import("../store/directory/annotate-file.ts");
    await annotateFile(place.loaded.settings.store.directory.identities, identity, annotation, value);
    return;
  }
  const { namespace, name } = identity.metadata;
  await place.api.request({
    method: "PATCH",
    path: pathOf(resources.meshCertificates, { namespace, name }),
    contentType: "merge",
    body: { metadata: { annotations: { [annotation]: value } } },
  });
}

async function accessTo(options: PlaceOptions, loaded: LoadedSettings | undefined): Promise<Access> {
  const { kubeconfig, context, as } = { ...loaded?.settings.store.kubernetes, ...options };
  try {
    return await loadAccess({ kubeconfig, context, as });
  } catch (error) {
    // Without flags, settings or kubeconfig, report the missing settings file.
    if (loaded === undefined && !namesCluster(options) && !isKubectlPlugin()) {
      await settingsOf({ ...options, config: defaultSettingsFile });
    }
    throw error;
  }
}

async function settingsIfThere(options: PlaceOptions): Promise<LoadedSettings | undefined> {
  const { config = defaultSettingsFile } = options;
  if (options.config === undefined) {
    if (namesCluster(options) || isKubectlPlugin()) return undefined;
    const isThere = await access(config).then(
      () => true,
      () => false,
    );
    if (!isThere && options.set === undefined) return undefined;
  }
  return settingsOf({ ...options, config });
}

function contradiction(): UsageError {
  return new UsageError("the settings name a directory, and the flags a cluster", {
    remedy: "Leave --config out to look at the cluster, or the flags of kubectl to look at the directory.",
  });
}

function namesCluster(options: PlaceOptions): boolean {
  const { kubeconfig, context, namespace, allNamespaces, as, requestTimeout } = options;
  return [kubeconfig, context, namespace, allNamespaces, as, requestTimeout].some(
    (flag) => flag !== undefined,
  );
}
