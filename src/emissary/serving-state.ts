import type { MetricsPage } from "./metrics-page.ts";

/** When leaf and first root of what is published end, in seconds since 1970: all that Envoy shows of them. */
export interface WantedEnds {
  readonly leaf: number;
  readonly root: number;
}

/** What a pod shows of a cluster; `name` is the one that it has there. */
export type ServingState =
  | { readonly kind: "served"; readonly name: string }
  /**
   * Other roots, of which the first ends at `notAfter`, whatever the leaf: upstreams with a certificate of a
   * new root are refused.
   */
  | { readonly kind: "oldRoots"; readonly name: string; readonly notAfter: number }
  /** The roots, with another leaf, and when that ends. */
  | { readonly kind: "oldLeaf"; readonly name: string; readonly notAfter: number }
  /** It speaks TLS, and this Envoy reports no certificate of any cluster. */
  | { readonly kind: "unmeasured"; readonly name: string }
  /** The cluster presents no client certificate: Emissary sends plaintext, or anonymously. */
  | { readonly kind: "exposed"; readonly name: string }
  /** No cluster has the name: Emissary has not taken the object that names the context, or has refused it. */
  | { readonly kind: "absent" };

/** The worst first. */
const kinds: readonly ServingState["kind"][] = ["exposed", "oldRoots", "oldLeaf", "unmeasured", "served"];

/** @param names of the cluster: of each list the first one present counts */
export function servingStateOf(
  page: MetricsPage,
  names: readonly (readonly string[])[],
  wanted: WantedEnds,
): ServingState {
  const present = names.flatMap((list) => list.find((one) => page.clusters.has(one)) ?? []);
  const states = present.map((name) => stateOf(page, name, wanted));
  const [worst = { kind: "absent" }] = states.toSorted(
    (one, other) => kinds.indexOf(one.kind) - kinds.indexOf(other.kind),
  );
  return worst;
}

function stateOf(page: MetricsPage, name: string, wanted: WantedEnds): ServingState {
  const { leaves, roots, hasTls } = page.clusters.get(name) ?? { leaves: [], roots: [], hasTls: false };
  const [leaf] = leaves;
  if (leaf === undefined)
    return { kind: hasTls && !reportsCertificates(page) ? "unmeasured" : "exposed", name };
  const [root] = roots;
  // Without roots it verifies nothing: an exposure that the objects show.
  if (root !== undefined && !roots.includes(wanted.root)) return { kind: "oldRoots", name, notAfter: root };
  return leaves.includes(wanted.leaf) ? { kind: "served", name } : { kind: "oldLeaf", name, notAfter: leaf };
}

/** The Envoys of Emissary 3 do not (envoyproxy/envoy#36614), those of Emissary 4 do. */
function reportsCertificates({ hasCertificates, version }: MetricsPage): boolean {
  return hasCertificates || Number.parseInt(version ?? "0") >= 4;
}
