import type { MetricsPage } from "./metrics-page.ts";

/** What is to be seen in a cluster; in seconds since 1970. */
export interface Wanted {
  readonly leaf: number;
  /** The first of the bundle. */
  readonly root: number;
}

/** What a pod shows of a cluster, with the name under which it has it. */
export type ServingState =
  | { readonly kind: "served"; readonly name: string }
  /** Another leaf, and when it ends. */
  | { readonly kind: "oldLeaf"; readonly name: string; readonly notAfter: number }
  /** The leaf, and other roots. */
  | { readonly kind: "oldRoots"; readonly name: string; readonly notAfter: number }
  /** The cluster is there and presents no client certificate: Emissary sends plaintext, or anonymously. */
  | { readonly kind: "exposed"; readonly name: string }
  /** No cluster is called so: Emissary has not taken what names the context, or has refused it. */
  | { readonly kind: "absent" };

/** The worst first. */
const kinds: readonly ServingState["kind"][] = ["exposed", "oldLeaf", "oldRoots", "served"];

/** @param names of the cluster: of each list the first that there is. */
export function servingStateOf(
  { clusters }: MetricsPage,
  names: readonly (readonly string[])[],
  wanted: Wanted,
): ServingState {
  const present = names.flatMap((list) => list.find((one) => clusters.has(one)) ?? []);
  const sights = present.map((name) => servingStateOfOne(clusters, name, wanted));
  const [worst = { kind: "absent" }] = sights.toSorted(
    (one, other) => kinds.indexOf(one.kind) - kinds.indexOf(other.kind),
  );
  return worst;
}

function servingStateOfOne(clusters: MetricsPage["clusters"], name: string, wanted: Wanted): ServingState {
  const { leaves, roots } = clusters.get(name) ?? { leaves: [], roots: [] };
  const [leaf] = leaves;
  if (leaf === undefined) return { kind: "exposed", name };
  if (!leaves.includes(wanted.leaf)) return { kind: "oldLeaf", name, notAfter: leaf };
  const [root] = roots;
  // Without roots it verifies nothing, which is told elsewhere.
  if (root === undefined || roots.includes(wanted.root)) return { kind: "served", name };
  return { kind: "oldRoots", name, notAfter: root };
}
