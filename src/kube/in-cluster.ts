import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ApiError } from "./api-error.ts";
import type { Principal } from "./principal.ts";

/** Where the kubelet puts a pod's token, the CA and the name of the namespace. */
const mounted = "/var/run/secrets/kubernetes.io/serviceaccount";

export type Environment = Readonly<Record<string, string | undefined>>;

export function isInCluster(env: Environment): boolean {
  return Boolean(env["KUBERNETES_SERVICE_HOST"] && env["KUBERNETES_SERVICE_PORT"]);
}

/**
 * The pod's own ServiceAccount (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/).
 * @throws ApiError if the pod has none.
 */
export async function inCluster(env: Environment, folder = mounted): Promise<Principal> {
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "";
  return {
    server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    namespace: await namespaceOf(folder),
    ca: { file: join(folder, "ca.crt") },
    token: { file: join(folder, "token") },
  };
}

async function namespaceOf(folder: string): Promise<string> {
  try {
    return (await readFile(join(folder, "namespace"), "utf8")).trim();
  } catch (cause) {
    throw new ApiError("ATTACHE_KUBERNETES_CONFIG", `the pod has no ServiceAccount token in ${folder}`, {
      cause,
      remedy: "Set automountServiceAccountToken: true in the pod, or give a kubeconfig.",
    });
  }
}
