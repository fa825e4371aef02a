import { dirname } from "node:path";
import { fieldsOf, listOf, textOf } from "../emissary/fields.ts";
import type { KubeClient } from "../kube/client.ts";
import type { ApiObject } from "../kube/object.ts";
import { pages } from "../kube/pages.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { selectorOf } from "../render/marks.ts";

/** A pod of attaché, as far as its checks need it. */
export interface Replica {
  readonly namespace: string;
  readonly name: string;
  readonly isReady: boolean;
  /** Why its container does not run: `CrashLoopBackOff`. */
  readonly waiting?: string;
  readonly restarts: number;
  readonly image: string;
  /** Of attaché, as the chart labels the pod. */
  readonly version?: string;
  readonly serviceAccount: string;
  /** That of the probes. */
  readonly port: number;
  /** From where its settings are mounted. */
  readonly settings?: { readonly configMap: string; readonly key: string };
}

/** The pods of an installation, by the label that the chart sets. @throws ApiError */
export async function replicasOf(
  api: Pick<KubeClient, "request">,
  installation: string,
  namespace: string,
): Promise<Replica[]> {
  const path = pathOf(resources.pods, { namespace });
  const query = { labelSelector: selectorOf(installation) };
  const found: Replica[] = [];
  for await (const { items } of pages(api, { path, query })) found.push(...items.map(replicaOf));
  return found.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

function replicaOf({ metadata, spec, status }: ApiObject): Replica {
  const { name, namespace = "", labels } = metadata;
  const pod = fieldsOf(spec);
  const containers = listOf(pod["containers"]);
  const container = containers.find((one) => one["name"] === "attache") ?? containers[0] ?? {};
  const state = listOf(fieldsOf(status)["containerStatuses"]).find(
    (one) => one["name"] === container["name"],
  );
  const waiting = textOf(fieldsOf(fieldsOf(state?.["state"])["waiting"])["reason"]);
  const ready = listOf(fieldsOf(status)["conditions"]).find((one) => one["type"] === "Ready");
  const version = labels?.["app.kubernetes.io/version"];
  const settings = settingsOf(pod, container);
  return {
    namespace,
    name,
    isReady: ready?.["status"] === "True",
    ...(waiting !== "" && { waiting }),
    restarts: Number(state?.["restartCount"] ?? 0),
    image: textOf(container["image"]),
    ...(version !== undefined && { version }),
    serviceAccount: textOf(pod["serviceAccountName"]) || "default",
    port: portOf(container),
    ...(settings && { settings }),
  };
}

function portOf(container: Fields): number {
  const ports = listOf(container["ports"]);
  const named = (name: string) => ports.find((one) => one["name"] === name)?.["containerPort"];
  return Number(named("probes") ?? named("http") ?? 9464);
}

/** The ConfigMap that is mounted where the container's `ATTACHE_CONFIG` is. */
function settingsOf(pod: Fields, container: Fields): Replica["settings"] {
  const variable = listOf(container["env"]).find((one) => one["name"] === "ATTACHE_CONFIG");
  const file = textOf(variable?.["value"]);
  const mount = listOf(container["volumeMounts"]).find((one) => one["mountPath"] === dirname(file));
  const volume = listOf(pod["volumes"]).find((one) => one["name"] === mount?.["name"]);
  const configMap = textOf(fieldsOf(volume?.["configMap"])["name"]);
  return mount === undefined || configMap === ""
    ? undefined
    : { configMap, key: file.slice(dirname(file).length + 1) };
}

type Fields = Readonly<Record<string, unknown>>;
