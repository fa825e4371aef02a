import type { Consumer } from "../emissary/consumer.ts";
import type { ServingState } from "../emissary/serving-state.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import type { Served } from "./ingress.ts";

/** What one Emissary shows of an identity. */
export interface EmissaryFinding {
  /** `NAMESPACE/SERVICE` */
  readonly name: string;
  /** Why it has no pods, or they are not known. */
  readonly problem: { readonly reason: string; readonly message: string } | undefined;
  /** How many clusters it has to have. */
  readonly clusters: number;
  readonly pods: readonly PodFinding[];
}

export interface PodFinding {
  readonly name: string;
  readonly isResponsive: boolean;
  /** Why it does not answer, once that is more than a moment. */
  readonly silence: { readonly error: unknown; readonly since: Date } | undefined;
  /** Whether it takes no configuration at all. */
  readonly isFrozen: boolean;
  /** Whether it is not known to have taken anything since the last nudge. */
  readonly isDeaf: boolean;
  readonly clusters: readonly ClusterFinding[];
}

export interface ClusterFinding {
  readonly name: string;
  /** `awaited`: it was not looked at since. */
  readonly sight: ServingState | { readonly kind: "awaited" };
  readonly consumers: readonly Consumer[];
  /** Contexts of others with which it shares its series. */
  readonly candidates: readonly string[];
  /** Whether it shares more than that: all are one cluster. */
  readonly isShared: boolean;
  /** Since when it shows what it shows. */
  readonly since: Date;
  /** Whether the pod had time to take what was written. */
  readonly isLate: boolean;
}

/** What all of it amounts to, the worst first; without a verdict it is too early to say. */
export function concluded(findings: readonly EmissaryFinding[], wantedLeaf: Date): Conclusion {
  const all = findings.flatMap(({ name, pods }) =>
    pods.flatMap((pod) => pod.clusters.map((cluster) => ({ emissary: name, pod, cluster }))),
  );
  return {
    isPending: all.some(
      ({ pod, cluster }) => pod.isResponsive && !pod.isFrozen && isMissing(cluster) && !isHopeless(cluster),
    ),
    verdict:
      exposed(all) ??
      frozen(all) ??
      old(all, wantedLeaf) ??
      silent(findings) ??
      podless(findings) ??
      ambiguous(all) ??
      absent(all) ??
      complete(findings, all),
  };
}

export interface Conclusion {
  readonly verdict: Verdict | undefined;
  /** See {@link Served.isPending}. */
  readonly isPending: boolean;
}

/** Whether there is anything left to be seen: of a shared series only that there is none says anything. */
export function isMissing({ sight, candidates }: ClusterFinding): boolean {
  if (sight.kind === "served") return false;
  return candidates.length === 0 || sight.kind === "awaited" || sight.kind === "exposed";
}

/** Whether it may never come: Emissary may have refused what names the context. */
export function isHopeless({ sight, isLate }: ClusterFinding): boolean {
  return sight.kind === "absent" && isLate;
}

interface Item {
  readonly emissary: string;
  readonly pod: PodFinding;
  readonly cluster: ClusterFinding;
}

type Verdict = Omit<Served, "isPending">;

function exposed(all: readonly Item[]): Verdict | undefined {
  const found = all.filter(({ cluster }) => cluster.isLate && cluster.sight.kind === "exposed");
  const [first] = found;
  if (first === undefined) return undefined;
  return {
    status: "False",
    reason: "Exposed",
    message:
      `Requests leave without a client certificate NOW, in plaintext unless the service says https://: ${place(first)} presents none, for ` +
      `${users(first.cluster)}, since ${first.cluster.since.toISOString()}${more(found)}. Emissary does not use the TLSContext: see its diagnostics and \`attache status --mappings\`.`,
  };
}

function frozen(all: readonly Item[]): Verdict | undefined {
  const found = all.filter(({ pod, cluster }) => pod.isFrozen && cluster.sight.kind !== "served");
  const [first] = found;
  if (first === undefined) return undefined;
  return {
    status: "False",
    reason: "Frozen",
    message:
      `The ingress refuses ALL configuration, of all tenants: pod ${sanitizePeerText(first.pod.name)} takes nothing, however the TLSContext is touched, since ${first.cluster.since.toISOString()}; it goes on with what it ` +
      "had. Almost always some Secret that a TLSContext names has a key that does not match or does not parse: `attache doctor` names it, with rights to read Secrets.",
  };
}

function old(all: readonly Item[], wantedLeaf: Date): Verdict | undefined {
  const found = all.filter(
    ({ cluster: { sight, isLate, candidates } }) =>
      isLate && candidates.length === 0 && (sight.kind === "oldLeaf" || sight.kind === "oldRoots"),
  );
  const [first] = found;
  if (first === undefined) return undefined;
  const { sight, since } = first.cluster;
  const end = "notAfter" in sight ? dateOf(sight.notAfter) : "?";
  const what =
    sight.kind === "oldRoots"
      ? `verifies by other roots, of which the first ends at ${end}`
      : `presents a leaf that ends at ${end}, and not the published one, that ends at ${dateOf(wantedLeaf.getTime() / 1_000)}`;
  return {
    status: "False",
    reason: "NotTaken",
    message:
      `${place(first)} ${what}, since ${since.toISOString()}${more(found)}. attaché touches the TLSContext until it is taken; ` +
      "Emissary misses it whenever a Mapping changes at the same time.",
  };
}

function silent(findings: readonly EmissaryFinding[]): Verdict | undefined {
  const found = findings
    .flatMap(({ pods }) => pods)
    .filter(({ silence, clusters }) => silence !== undefined && clusters.length > 0);
  const [first] = found;
  if (first?.silence === undefined) return undefined;
  const { error, since } = first.silence;
  const told =
    error instanceof AttacheError
      ? `${error.problem}. ${error.remedy}`
      : "attaché failed in a way that it does not know; see its log.";
  return {
    status: "Unknown",
    reason: "Unreachable",
    message: `Pod ${sanitizePeerText(first.name)} has not said what it has loaded, since ${since.toISOString()}${more(found)}: ${told}`,
  };
}

function podless(findings: readonly EmissaryFinding[]): Verdict | undefined {
  const problem = findings.find((finding) => finding.problem !== undefined)?.problem;
  return problem && { status: "Unknown", ...problem };
}

function ambiguous(all: readonly Item[]): Verdict | undefined {
  const found = all.filter(
    ({ cluster: { candidates, sight } }) => candidates.length > 0 && sight.kind !== "exposed",
  );
  const [first] = found;
  if (first === undefined) return undefined;
  const candidates = first.cluster.candidates.map((rival) => `"${sanitizePeerText(rival)}"`).join(", ");
  return {
    status: "Unknown",
    reason: "Ambiguous",
    message: first.cluster.isShared
      ? `The service of ${users(first.cluster)} says https://, and is also used with the TLSContext ${candidates}: to Emissary that is one cluster, and the certificate of only one of them is presented in it${more(found)}. Leave https:// out, and give each Mapping a stats_name of its own.`
      : `The cluster ${sanitizePeerText(first.cluster.name)} is also used with the TLSContext ${candidates}, and which of them its metrics show nobody can tell${more(found)}. Give ${users(first.cluster)} a stats_name of its own.`,
  };
}

function absent(all: readonly Item[]): Verdict | undefined {
  const found = all.filter(({ cluster }) => cluster.isLate && cluster.sight.kind === "absent");
  const [first] = found;
  if (first === undefined) return undefined;
  return {
    status: "Unknown",
    reason: "ClusterUnknown",
    message: `Pod ${sanitizePeerText(first.pod.name)} has no cluster ${sanitizePeerText(first.cluster.name)}${more(found)}: Emissary has not taken ${users(first.cluster)}, or has refused it; see its diagnostics.`,
  };
}

function complete(findings: readonly EmissaryFinding[], all: readonly Item[]): Verdict | undefined {
  if (findings.every(({ clusters }) => clusters === 0)) {
    return { status: "True", reason: "Unused", message: "Nothing uses it, so nothing has to load it." };
  }
  // Their pods were not listed yet.
  if (findings.some(({ clusters, pods }) => clusters > 0 && pods.length === 0)) return undefined;
  if (all.some(({ cluster }) => cluster.sight.kind !== "served")) return undefined;
  const pods = findings.flatMap((finding) => finding.pods).length;
  const clusters = new Set(all.map(({ emissary, cluster }) => `${emissary} ${cluster.name}`)).size;
  return {
    status: "True",
    reason: "Served",
    message: `${pods} of ${pods} pods, ${clusters} of ${clusters} clusters.`,
  };
}

function place({ pod, cluster }: Item): string {
  return `pod ${sanitizePeerText(pod.name)}, cluster ${sanitizePeerText(cluster.name)},`;
}

function users({ consumers }: ClusterFinding): string {
  const [first, ...others] = consumers;
  if (first === undefined) return "nobody";
  const named = `${first.kind} ${first.namespace}/${first.name}`;
  return others.length === 0 ? named : `${named} and ${others.length} more`;
}

function more(found: readonly unknown[]): string {
  return found.length === 1 ? "" : ` (and ${found.length - 1} more)`;
}

function dateOf(seconds: number): string {
  const date = new Date(seconds * 1_000);
  return Number.isNaN(date.getTime()) ? "?" : date.toISOString();
}
