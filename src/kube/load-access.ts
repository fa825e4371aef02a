import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { type Clock, systemClock } from "../runtime/clock.ts";
import type { Access } from "./access.ts";
import { type Environment, inCluster, isInCluster } from "./in-cluster.ts";
import { fromKubeconfig } from "./kubeconfig.ts";
import { accessOf, type Principal } from "./principal.ts";

export interface AccessOptions {
  /** Path; in place of `$KUBECONFIG`. */
  readonly kubeconfig?: string | undefined;
  /** One of the kubeconfig, in place of its current one. */
  readonly context?: string | undefined;
  readonly env?: Environment;
  /** Where a pod's token is; the usual place by default. */
  readonly serviceAccountFolder?: string | undefined;
  readonly clock?: Clock;
}

/**
 * How the cluster is reached: by the kubeconfig that is named here or by `$KUBECONFIG`, else as the pod that we are in,
 * else by `~/.kube/config`. A context that is named wants a kubeconfig.
 * @throws ApiError or DocumentError that say what is missing.
 */
export async function loadAccess(options: AccessOptions = {}): Promise<Access> {
  const { clock = systemClock } = options;
  return accessOf(await principalOf(options, clock), clock);
}

function principalOf(options: AccessOptions, clock: Clock): Promise<Principal> {
  const { kubeconfig, context, env = process.env, serviceAccountFolder } = options;
  const named = kubeconfig === undefined ? split(env["KUBECONFIG"]) : [kubeconfig];
  if (named.length > 0) return fromKubeconfig(named, clock, context);
  if (context === undefined && isInCluster(env)) return inCluster(env, serviceAccountFolder);
  return fromKubeconfig([join(env["HOME"] ?? homedir(), ".kube", "config")], clock, context);
}

function split(paths: string | undefined): string[] {
  return (paths ?? "").split(delimiter).filter((path) => path !== "");
}
