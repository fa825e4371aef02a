import { type ConsumerName, isMapping } from "../emissary/consumer.ts";
import { AttacheError } from "../errors/attache-error.ts";
import { sanitizePeerText } from "../text/peer-text.ts";
import type { Served } from "./ingress.ts";
import {
  type ClusterFinding,
  type EmissaryEvaluation,
  type EmissaryObservation,
  isMissing,
  isOutdated,
  isUnlikely,
  type PodFinding,
} from "./observation.ts";
import type { Progress } from "./progress.ts";

/** A pod that fails as often in a row counts as silent. */
const failuresUntilSilent = 3;

export interface ServedVerdict {
  /** The worst of all findings; `undefined` where it is too early to say. */
  readonly condition: Condition | undefined;
  /** See {@link Served.isPending}. */
  readonly isPending: boolean;
}

type Condition = Omit<Served, "isPending">;

export function verdictOf(evaluations: readonly EmissaryEvaluation[], wantedLeaf: Date): ServedVerdict {
  const all = evaluations.flatMap(({ emissary, pods }) =>
    pods.flatMap((pod) => pod.clusters.map((cluster) => ({ emissary, pod, cluster }))),
  );
  return {
    isPending: all.some(
      ({ pod, cluster }) =>
        pod.isResponsive && pod.progress?.isFrozen !== true && isMissing(cluster) && !isUnlikely(cluster),
    ),
    condition:
      exposed(all) ??
      frozen(all) ??
      notTaken(all, wantedLeaf) ??
      unreachable(evaluations) ??
      withoutPods(evaluations) ??
      notMeasured(all) ??
      ambiguous(all) ??
      unknownCluster(all) ??
      stalled(all) ??
      complete(evaluations, all),
  };
}

/** Whether the pod does not say what it has loaded; what it has shown already counts. */
export function isSilent({ failure, clusters }: PodFinding): boolean {
  const isServed = clusters.every(({ state }) => state.kind === "served");
  return failure !== undefined && failure.count >= failuresUntilSilent && !isServed;
}

interface Item {
  readonly emissary: EmissaryObservation;
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
  const found = progressIn(all).filter(({ progress }) => progress.isFrozen);
  return worst(found, ["False", "Frozen"], ({ pod, progress }, more) => {
    const { since, refusals, touches } = progress;
    const what = `configuration, of all tenants: ${podName(pod)} has taken nothing since ${since.toISOString()}${more}`;
    return refusals > 0
      ? `The ingress refuses ALL ${what}, although Emissary has reconfigured at least ${refusals === 1 ? "once" : `${refusals} times`} since. ${causes}`
      : `The ingress takes NO ${what}, although TLSContexts were touched ${touches} times, and Emissary does not reconfigure: see its log. If it collects changes for longer, set reconfigMaxDelay to its AMBASSADOR_RECONFIG_MAX_DELAY.`;
  });
}

const causes =
  "Envoy refuses something in it, for example a Secret whose key does not match or a field of a TLSContext: `attache doctor` names it, with rights to read Secrets. " +
  'If it names nothing, see Emissary\'s log: above half of its memory limit, Emissary puts changes off ("throttling reconfig").';

/** All is served so far; the next rotation may not be. */
function stalled(all: readonly Item[]): Condition | undefined {
  const found = progressIn(all).filter(({ progress }) => progress.isStalled);
  return worst(
    found,
    ["Unknown", "Stalled"],
    ({ pod, progress }, more) =>
      `Emissary has reconfigured ${podName(pod)}, and its Envoy has taken nothing since ${progress.since.toISOString()}${more}. ${causes}`,
  );
}

/** Of each pod once. */
function progressIn(all: readonly Item[]): { readonly pod: PodFinding; readonly progress: Progress }[] {
  const pods = [...new Set(all.map(({ pod }) => pod))];
  return pods.flatMap((pod) => (pod.progress === undefined ? [] : { pod, progress: pod.progress }));
}

function notTaken(all: readonly Item[], wantedLeaf: Date): Condition | undefined {
  const outdated = all.filter(({ cluster }) => cluster.isLate && isOutdated(cluster));
  const roots = outdated.filter(({ cluster }) => cluster.state.kind === "oldRoots");
  return worst(roots.length > 0 ? roots : outdated, ["False", "NotTaken"], (first, more) => {
    const { state, since } = first.cluster;
    const end = "notAfter" in state ? dateOf(state.notAfter) : "?";
    const what =
      state.kind === "oldRoots"
        ? `verifies by other roots, of which the first ends at ${end}, since ${since.toISOString()}${more}. Requests to ${upstreams(roots)} ` +
          "fail with 503 from when the upstream presents a leaf of a root published since then, and by that end at the latest"
        : `presents a leaf that ends at ${end}, and not the published one, that ends at ${dateOf(wantedLeaf.getTime() / 1_000)}, since ${since.toISOString()}${more}`;
    return `${place(first)} ${what}. ${healing(first)}`;
  });
}

/** How many upstreams a message names. */
const namedUpstreams = 5;

/** By the services of the consumers, with one consumer of each. */
function upstreams(items: readonly Item[]): string {
  const consumers = items.flatMap(({ cluster }) => cluster.consumers);
  const services = new Map(consumers.map((one) => [one.upstream?.service ?? "", one]));
  const all = [...services].map(([service, one]) => `${sanitizePeerText(service)} (${named(one)})`);
  const more = all.length - namedUpstreams;
  return all.slice(0, namedUpstreams).join(", ") + (more > 0 ? ` and ${more} more upstreams` : "");
}

function healing({ emissary: { name, touches }, cluster }: Item): string {
  const mappings = cluster.consumers.filter(isMapping);
  if (mappings.length === 0)
    return "Emissary rebuilds this cluster from every snapshot, and so misses none: it has taken no snapshot since, see its log.";
  if (touches === "TLSContext")
    return "attaché touches the TLSContext until Emissary takes it; Emissary misses it whenever a Mapping changes at the same time.";
  const mapping = mappings.find(({ holder }) => holder === undefined);
  if (touches === "Mapping" && mapping !== undefined)
    return "attaché touches the Mappings that use it until Emissary takes it.";
  const starved =
    "Mappings change so often that Emissary takes no touch of the TLSContext. Until they pause for two seconds,";
  if (mapping !== undefined)
    return `${starved} annotate ${named(mapping)} yourself, or set \`touchMappings: true\` for the Emissary ${name}.`;
  const holders = mappings.flatMap(({ holder }) => holder ?? []).map(named);
  return `${starved} nothing heals ${users({ consumers: mappings })}, which stands in an annotation of the ${holders[0] ?? "?"}: make it an object of its own, which can be touched.`;
}

function unreachable(evaluations: readonly EmissaryEvaluation[]): Condition | undefined {
  const found = evaluations
    .flatMap(({ pods }) => pods.filter(isSilent))
    .flatMap((pod) => (pod.failure === undefined ? [] : { pod, failure: pod.failure }));
  return worst(found, ["Unknown", "Unreachable"], ({ pod, failure: { error, since } }, more) => {
    const why =
      error instanceof AttacheError
        ? `${error.problem}. ${error.remedy}`
        : "attaché failed unexpectedly; see its log.";
    return `${podName(pod, "Pod")} has not said what it has loaded, since ${since.toISOString()}${more}: ${why}`;
  });
}

function withoutPods(evaluations: readonly EmissaryEvaluation[]): Condition | undefined {
  const found = evaluations.filter(({ clusters, pods }) => clusters > 0 && pods.length === 0);
  const problem = found.find(({ emissary }) => emissary.problem !== undefined)?.emissary.problem;
  return problem && { status: "Unknown", ...problem };
}

function notMeasured(all: readonly Item[]): Condition | undefined {
  const found = all.filter(({ cluster }) => cluster.state.kind === "unmeasured");
  return worst(
    found,
    ["Unknown", "NotMeasured"],
    ({ pod }, more) =>
      `The Envoy of ${podName(pod)}${more} reports no certificates, as those of Emissary 3: what it has loaded cannot be known, and a rotation that it misses is not healed. Upgrade to Emissary 4.`,
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
      `${podName(pod, "Pod")} has no cluster ${sanitizePeerText(cluster.name)}${more}: Emissary has not taken ${users(cluster)}, or has refused it; see its diagnostics.`,
  );
}

function complete(evaluations: readonly EmissaryEvaluation[], all: readonly Item[]): Condition | undefined {
  if (evaluations.every(({ clusters }) => clusters === 0)) {
    return { status: "True", reason: "Unused", message: "Nothing uses it, so nothing has to load it." };
  }
  const isListed = evaluations.every(({ clusters, pods }) => clusters === 0 || pods.length > 0);
  if (!isListed || all.some(({ cluster }) => cluster.state.kind !== "served")) return undefined;
  const pods = evaluations.flatMap((one) => one.pods).length;
  const clusters = new Set(all.map(({ emissary, cluster }) => `${emissary.name} ${cluster.name}`)).size;
  const message = `${pods} of ${pods} pods, ${clusters} of ${clusters} clusters.`;
  return { status: "True", reason: "Served", message };
}

function place({ pod, cluster }: Item): string {
  return `${podName(pod)}, cluster ${sanitizePeerText(cluster.name)},`;
}

function podName({ pod }: PodFinding, word: "pod" | "Pod" = "pod"): string {
  return `${word} ${sanitizePeerText(pod.name)}`;
}

function users({ consumers }: Pick<ClusterFinding, "consumers">): string {
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
