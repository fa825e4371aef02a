import { join } from "node:path";
import { expect, vi } from "vitest";
import { rolledOut } from "./cluster.ts";
import type { Node } from "./node.ts";

/** A pod that gets an identity. */
export interface Entry {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly id: string;
}

/**
 * SPIRE's server and agent in pods, with an entry, and in place of the CSI driver of its chart one that serves the same
 * volume.
 */
export async function startSpire(node: Node, entry: Entry): Promise<void> {
  await node.apply("spire");
  await rolledOut(node, "spire", "statefulset/spire-server");
  await rolledOut(node, "spire", "daemonset/spire-agent");
  const server = (...args: readonly string[]) =>
    node.kubectl("exec", "-n", "spire", "spire-server-0", "--", "/opt/spire/bin/spire-server", ...args);
  const agent = await vi.waitFor(async () => {
    const listed = await server("agent", "list");
    return /SPIFFE ID +: (?<id>\S+)/.exec(listed)?.groups?.["id"] ?? expect.fail(listed);
  });
  await server(
    "entry",
    "create",
    `-parentID=${agent}`,
    `-spiffeID=${entry.id}`,
    `-selector=k8s:ns:${entry.namespace}`,
    `-selector=k8s:sa:${entry.serviceAccount}`,
  );
  const driver = join(import.meta.dirname, "csi/driver.ts");
  await node.start("csi", process.execPath, driver, "csi.spiffe.io", "/run/spire/agent-sockets");
}
