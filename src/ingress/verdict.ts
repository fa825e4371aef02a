import { type Consumer, type ConsumerName, isMapping } from "../emissary/consumer.ts";
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
  /** In how many clusters the identity is used. */
  readonly clusters: number;
  /** What may be touched so that it takes what it has missed. */
  readonly touches: Touches;
  readonly pods: readonly PodFinding[];
}

/**
 * `starved`: Mappings change so often that a touch of a TLSContext has no effect, and Mappings may not be
 * touched.
 */
export type Touches = "TLSContext" | "starved" | "Mapping";

export interface PodFinding {
  readonly name: string;
  readonly isResponsive: boolean;
  /** Why it does not answer, once it has failed to several times. */
  readonly silence: { readonly error: unknown; readonly since: Date } | undefined;
  /** Whether it takes no configuration at all. */
  readonly isFrozen: boolean;
  /** Whether it is not known to have taken anything since the last nudge. */
  readonly isUnresponsive: boolean;
  /** How long it needs to load what is written. */
  readonly neededMs: number;
  /** When it was asked for what it last answered, by `elapsedMs()`. */
  readonly askedMs: number;
  readonly clusters: readonly ClusterFinding[];
}

export interface ClusterFinding {
  readonly name: string;
  /** `awaited`: the pod was not asked since the write. */
  readonly state: ServingState | { readonly kind: "awaited" };
  readonly consumers: readonly Consumer[];
  /** Other contexts whose clusters have the same name in the metrics. */
  readonly candidates: readonly string[];
  /** Whether they are even the same cluster. */
  readonly isShared: boolean;
  /** Since when it has this state. */
  readonly since: Date;
  /** Since when it lacks what is published, by `elapsedMs()`. */
  readonly lackingMs: number | undefined;
  /** Whether the pod had its grace period to take what was written. */
  readonly isLate: boolean;
}

export interface ServedVerdict {
  /** The worst of all findings; `undefined` where it is too early to say. */
  readonly condition: Condition | undefined;
  /** See {@link Served.isPending}. */
  readonly isPending: boolean;
}

type Condition = Omit<Served, "isPending">;

export function verdictOf(findings: readonly EmissaryFinding[], wantedLeaf: Date): ServedVerdict {
  const all = findings.flatMap(({ name, touches, pods }) =>
    pods.flatMap((pod) => pod.clusters.map((cluster) => ({ emissary: name, touches, pod, cluster }))),
  );
  return {
    isPending: all.some(
      ({ pod, cluster }) => pod.isResponsive && !pod.isFrozen && isMissing(cluster) && !isUnlikely(cluster),
    ),
    condition:
      exposed(all) ??
      frozen(all) ??
      notTaken(all, wantedLeaf) ??
      unreachable(findings) ??
      withoutPods(findings) ??
      notMeasured(all) ??
      ambiguous(all) ??
      unknownCluster(all) ??
      complete(findings, all),
  };
}

/**
 * Whether the pod may still have to load something. A series shared with candidates proves only the absence
 * of a certificate.
 */
export function isMissing({ state, candidates }: ClusterFinding): boolean {
  if (state.kind === "served" || state.kind === "unmeasured") return false;
  return candidates.length === 0 || state.kind === "awaited" || state.kind === "exposed";
}

/** Whether it may never come: Emissary may have refused the object that names the context. */
export function isUnlikely({ state, isLate }: ClusterFinding): boolean {
  return state.kind === "absent" && isLate;
}

/** Whether the cluster certainly presents an old leaf or verifies by old roots. */
export function isOutdated({ state, candidates }: ClusterFinding): boolean {
  return candidates.length === 0 && (state.kind === "oldLeaf" || state.kind === "oldRoots");
}

interface Item {
  readonly emissary: string;
  readonly touches: Touches;
  readonly pod: PodFinding;
  readonly cluster: ClusterFinding;
}

/** The verdict on what was found, if anything was. @param more says how many there are beside the first. */
function worst<T>(
  found: readonly T[],
  [status, reason]: readonly [Condition["status"], reason: string],
  message: (first: T, more: string) => string,
): Condition | undefined {
  const [first] = found;
  const more = found.length === 1 ? "" : ` (and ${found.length - 1} more)`;
  return first && { status, reason, message: message(first, more) };
}

function exposed(all: readonly Item[]): Condition | undefined {
  const found = all.filter(({ cluster }) => cluster.isLate && cluster.state.kind === "exposed");
  return worst(
    found,
    ["False", "Exposed"],
    (first, more) =>
      `Requests leave without a client certificate NOW, in plaintext unless the service says https://: ${place(first)} presents none, for ` +
      `${users(first.cluster)}, since ${first.cluster.since.toISOString()}${more}. Emissary does not use the TLSContext: see its diagnostics and \`attache status --mappings\`.`,
  );
}

function frozen(all: readonly Item[]): Condition | undefined {
  const found = all.filter(({ pod, cluster }) => pod.isFrozen && cluster.state.kind !== "served");
  return worst(
    found,
    ["False", "Frozen"],
    ({ pod, cluster }) =>
      `The ingress refuses ALL configuration, of all tenants: pod ${sanitizePeerText(pod.name)} keeps its old configuration, however often the TLSContext is touched, since ${cluster.since.toISOString()}. ` +
      "Almost always a Secret that a TLSContext names has a key that does not match or does not parse: `attache doctor` names it, with rights to read Secrets.",
  );
}

function notTaken(all: readonly Item[], wantedLeaf: Date): Condition | undefined {
  const outdated = all.filter(({ cluster }) => cluster.isLate && isOutdated(cluster));
  const roots = outdated.filter(({ cluster }) => cluster.state.kind === "oldRoots");
  return worst(roots.length > 0 ? roots : outdated, ["False", "NotTaken"], (first, more) => {
    const { state, since } = first.cluster;
    const end = "notAfter" in state ? dateOf(state.notAfter) : "?";
    const what =
      state.kind === "oldRoots"
        ? `verifies by other roots, of which the first ends at ${end}, since ${since.toISOString()}${more}. Requests of ${users(first.cluster)} fail with 503 from when its upstream presents a certificate of a root published since then`
        : `presents a leaf that ends at ${end}, and not the published one, that ends at ${dateOf(wantedLeaf.getTime() / 1_000)}, since ${since.toISOString()}${more}`;
    return `${place(first)} ${what}. ${healing(first)}`;
  });
}

function healing({ emissary, touches, cluster }: Item): string {
  const mapping = cluster.consumers.find((one) => isMapping(one) && one.holder === undefined);
  if (touches === "TLSContext")
    return "attaché touches the TLSContext until Emissary takes it; Emissary misses it whenever a Mapping changes at the same time.";
  if (touches === "Mapping" && mapping !== undefined)
    return "attaché touches the Mappings that use it until Emissary takes it.";
  const starved =
    "Mappings change so often that Emissary takes no touch of the TLSContext. Until they pause for two seconds,";
  const [{ holder } = { holder: undefined }] = cluster.consumers;
  if (mapping !== undefined)
    return `${starved} annotate ${named(mapping)} yourself, or set \`touchMappings: true\` for the Emissary ${emissary}.`;
  return holder === undefined
    ? `${starved} change the spec of ${users(cluster)}: attaché touches Mappings and TCPMappings only.`
    : `${starved} nothing heals ${users(cluster)}, which stands in an annotation of the ${named(holder)}: make it an object of its own, which can be touched.`;
}

function unreachable(findings: readonly EmissaryFinding[]): Condition | undefined {
  const found = findings
    .flatMap(({ pods }) => pods)
    .flatMap(({ name, silence, clusters }) =>
      silence === undefined || clusters.length === 0 ? [] : { name, ...silence },
    );
  return worst(found, ["Unknown", "Unreachable"], ({ name, error, since }, more) => {
    const why =
      error instanceof AttacheError
        ? `${error.problem}. ${error.remedy}`
        : "attaché failed unexpectedly; see its log.";
    return `Pod ${sanitizePeerText(name)} has not said what it has loaded, since ${since.toISOString()}${more}: ${why}`;
  });
}

function withoutPods(findings: readonly EmissaryFinding[]): Condition | undefined {
  const problem = findings.find((finding) => finding.problem !== undefined)?.problem;
  return problem && { status: "Unknown", ...problem };
}

function notMeasured(all: readonly Item[]): Condition | undefined {
  const found = all.filter(({ cluster }) => cluster.state.kind === "unmeasured");
  return worst(
    found,
    ["Unknown", "NotMeasured"],
    ({ pod }, more) =>
      `The Envoy of pod ${sanitizePeerText(pod.name)}${more} reports no certificates, as those of Emissary 3: what it has loaded cannot be known, and a rotation that it misses is not healed. Upgrade to Emissary 4.`,
  );
}

function ambiguous(all: readonly Item[]): Condition | undefined {
  const found = all
    .map(({ cluster }) => cluster)
    .filter(({ candidates, state }) => candidates.length > 0 && state.kind !== "exposed");
  return worst(found, ["Unknown", "Ambiguous"], (first, more) => {
    const others = first.candidates.map((one) => `"${sanitizePeerText(one)}"`).join(", ");
    return first.isShared
      ? `The service of ${users(first)} says https://, and is also used with the TLSContext ${others}: to Emissary that is one cluster, which presents the certificate of only one of them${more}. Remove https://, and give each Mapping a stats_name of its own.`
      : `The cluster ${sanitizePeerText(first.name)} is also used with the TLSContext ${others}, and its metrics do not tell them apart${more}. Give ${users(first)} a stats_name of its own.`;
  });
}

function unknownCluster(all: readonly Item[]): Condition | undefined {
  const found = all.filter(({ cluster }) => isUnlikely(cluster));
  return worst(
    found,
    ["Unknown", "ClusterUnknown"],
    ({ pod, cluster }, more) =>
      `Pod ${sanitizePeerText(pod.name)} has no cluster ${sanitizePeerText(cluster.name)}${more}: Emissary has not taken ${users(cluster)}, or has refused it; see its diagnostics.`,
  );
}

function complete(findings: readonly EmissaryFinding[], all: readonly Item[]): Condition | undefined {
  if (findings.every(({ clusters }) => clusters === 0)) {
    return { status: "True", reason: "Unused", message: "Nothing uses it, so nothing has to load it." };
  }
  const isListed = findings.every(({ clusters, pods }) => clusters === 0 || pods.length > 0);
  if (!isListed || all.some(({ cluster }) => cluster.state.kind !== "served")) return undefined;
  const pods = findings.flatMap((finding) => finding.pods).length;
  const clusters = new Set(all.map(({ emissary, cluster }) => `${emissary} ${cluster.name}`)).size;
  const message = `${pods} of ${pods} pods, ${clusters} of ${clusters} clusters.`;
  return { status: "True", reason: "Served", message };
}

function place({ pod, cluster }: Item): string {
  return `pod ${sanitizePeerText(pod.name)}, cluster ${sanitizePeerText(cluster.name)},`;
}

function users({ consumers }: ClusterFinding): string {
  const [first, ...others] = consumers;
  if (first === undefined) return "no consumer";
  return others.length === 0 ? named(first) : `${named(first)} and ${others.length} more`;
}

function named({ kind, namespace, name }: ConsumerName): string {
  return sanitizePeerText(`${kind} ${namespace}/${name}`);
}

function dateOf(seconds: number): string {
  const date = new Date(seconds * 1_000);
  return Number.isNaN(date.getTime()) ? "?" : date.toISOString();
}
