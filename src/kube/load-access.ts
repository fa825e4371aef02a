import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { hostAndPort } from "../text/host.ts";
import { proxyOf } from "../text/proxy.ts";
import { type Access, accessOf, type Principal } from "./access.ts";
import { ApiError } from "./api-error.ts";

export interface AccessOptions {
  /** Path; in place of `$KUBECONFIG`. */
  readonly kubeconfig?: string | undefined;
  /** One of the kubeconfig, in place of its current one. */
  readonly context?: string | undefined;
  /** The user to impersonate. */
  readonly as?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where a pod's token is; the usual place by default. */
  readonly serviceAccountFolder?: string | undefined;
  readonly clock?: Clock;
}

/**
 * How the cluster is reached: by the kubeconfig that is named here or by `$KUBECONFIG`, else as the pod that
 * we are in, else by `~/.kube/config`; through the proxy of the kubeconfig, or else of the environment. A
 * context that is named wants a kubeconfig.
 * @throws ApiError that says what is missing.
 */
export async function loadAccess(options: AccessOptions = {}): Promise<Access> {
  const { env = process.env, clock = systemClock } = options;
  const principal = await principalOf({ ...options, env, clock });
  const proxyUrl = [principal.proxyUrl, proxyOf(principal.server, env)].find(Boolean);
  if (proxyUrl !== undefined && !/^(?:https?|socks5h?):\/\/[^/]/i.test(proxyUrl)) {
    throw new ApiError("ATTACHE_KUBERNETES_CONFIG", "the proxy of the API server is no URL", {
      remedy: "Write proxy-url or HTTPS_PROXY like http://proxy.example:3128, https://… or socks5://….",
    });
  }
  const headers = { ...principal.headers, ...(options.as && { "impersonate-user": options.as }) };
  return accessOf({ ...principal, proxyUrl, headers }, clock);
}

async function principalOf(
  options: AccessOptions & Required<Pick<AccessOptions, "env" | "clock">>,
): Promise<Principal> {
  const { kubeconfig, context, env, clock, serviceAccountFolder } = options;
  const named = kubeconfig === undefined ? (env["KUBECONFIG"] ?? "").split(delimiter) : [kubeconfig];
  const files = named.filter((file) => file !== "");
  if (files.length === 0) {
    if (context === undefined && isInCluster(env)) return inCluster(env, serviceAccountFolder);
    files.push(join(env["HOME"] ?? homedir(), ".kube", "config"));
  }
  const present = files.filter((file) => existsSync(file));
  if (present.length === 0) {
    throw new ApiError("ATTACHE_KUBERNETES_CONFIG", `there is no kubeconfig ${files.join(", ")}`);
  }
  // Loaded here, because its libraries take megabytes that a pod does not need.
  const { fromKubeconfig } = await import("./kubeconfig.ts");
  return fromKubeconfig(present, { context, clock });
}

function isInCluster(env: Required<AccessOptions>["env"]): boolean {
  return Boolean(env["KUBERNETES_SERVICE_HOST"] && env["KUBERNETES_SERVICE_PORT"]);
}

/** The pod's own ServiceAccount (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/). */
async function inCluster(
  env: Required<AccessOptions>["env"],
  folder = "/var/run/secrets/kubernetes.io/serviceaccount",
): Promise<Principal> {
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  return {
    server: `https://${hostAndPort(host, env["KUBERNETES_SERVICE_PORT"] ?? "")}`,
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
