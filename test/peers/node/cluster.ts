import { describe, inject } from "vitest";
import { type Node, nodeAt } from "./node.ts";
import { skipped } from "./requirements.ts";

/** Tests on the node that all files share; where none can run, they are skipped, and their name says why. */
export function describeOnNode(name: string, tests: (node: Node) => void): void {
  describe.skipIf(skipped !== undefined)(
    skipped === undefined ? name : `${name} (skipped: ${skipped})`,
    () => {
      tests(nodeAt(inject("node")));
    },
  );
}

/** Creates a namespace in which Pod Security admits only pods of the level `restricted`. */
export async function createNamespace({ api }: Node, name: string): Promise<void> {
  const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
  await api.create("/api/v1/namespaces", { metadata: { name, labels } });
}

/** Deletes it, and waits until it is gone. */
export async function deleteNamespace({ kubectl }: Node, name: string): Promise<void> {
  await kubectl("delete", "namespace", name, "--ignore-not-found", "--timeout=150s");
}

/** Waits until all pods of a Deployment, StatefulSet or DaemonSet are those of its template, and Ready. */
export async function rolledOut({ kubectl }: Node, namespace: string, workload: string): Promise<void> {
  await kubectl("rollout", "status", workload, "-n", namespace, "--timeout=150s");
}
