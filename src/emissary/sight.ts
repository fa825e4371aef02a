import type { MetricsPage } from "./metrics-page.ts";

/** What is to be seen in a cluster; in seconds since 1970. */
export interface Wanted {
  readonly leaf: number;
  /** The first of the bundle. */
  readonly root: number;
}

/** What a pod shows of a cluster. */
export type Sight =
  | { readonly kind: "served" }
  /** Another leaf, and when it ends. */
  | { readonly kind: "oldLeaf"; readonly notAfter: number }
  /** The leaf, and other roots. */
  | { readonly kind: "oldRoots"; readonly notAfter: number }
  /** The cluster is there and presents no client certificate: Emissary sends plaintext, or anonymously. */
  | { readonly kind: "exposed" }
  /** No cluster is called so: Emissary has not taken what names the context, or has refused it. */
  | { readonly kind: "absent" };

/** @param names of the cluster, the likeliest first. */
export function sightOf({ clusters }: MetricsPage, names: readonly string[], wanted: Wanted): Sight {
  const name = names.find((one) => clusters.has(one)) ?? "";
  const cluster = clusters.get(name);
  if (cluster === undefined) return { kind: "absent" };
  const [leaf] = cluster.leaves;
  if (leaf === undefined) return { kind: "exposed" };
  if (!cluster.leaves.includes(wanted.leaf)) return { kind: "oldLeaf", notAfter: leaf };
  const [root] = cluster.roots;
  // Without roots it verifies nothing, which is told elsewhere.
  if (root === undefined || cluster.roots.includes(wanted.root)) return { kind: "served" };
  return { kind: "oldRoots", notAfter: root };
}
