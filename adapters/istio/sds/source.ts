import { access } from "node:fs/promises";
import type { Clock } from "../../../src/mesh/adapter.ts";
import type { Source } from "../own-identity-mesh.ts";
import { followAgent } from "./agent-session.ts";
import { checkAgent } from "./check.ts";

/** Where agents make their socket in a pod: newer ones in the volume `workload-socket`, and older ones. */
const usualSockets = ["/var/run/secrets/workload-spiffe-uds/socket", "/etc/istio/proxy/SDS"] as const;

/** The Istio agent of attaché's own pod, over its secret discovery service. */
export function agentSource(configured: string | undefined, clock: Clock): Source {
  const socket = () => firstOf(configured === undefined ? usualSockets : [configured]);
  return {
    follow: async (following) => followAgent({ ...following, socket: await socket(), clock }),
    check: async () => checkAgent(await socket(), clock),
  };
}

/** The first path at which there is something; looked for anew each time, because agents restart with other versions. */
export async function firstOf(paths: readonly [string, ...string[]]): Promise<string> {
  for (const path of paths) if (await exists(path)) return path;
  return paths[0];
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
