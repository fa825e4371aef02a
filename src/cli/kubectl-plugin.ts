import { basename } from "node:path";

/** kubectl runs `kubectl-attache` for `kubectl attache` (https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/). */
export function isKubectlPlugin(): boolean {
  return basename(process.argv[1] ?? "") === "kubectl-attache";
}
