import { keyOf } from "../api/mesh-certificate.ts";
import type { Status } from "../api/status.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { isIssuedBy } from "../credentials/chain.ts";
import { consumerKey } from "../emissary/consumer.ts";
import type { EmissaryEvaluation, PodFinding } from "../ingress/observation.ts";
import { targetNames, secretNames } from "../render/names.ts";
import { printable } from "../text/printable.ts";
import type { Commands } from "./commands.ts";
import type { History } from "./history.ts";
import { exposedConsumer } from "./overview.ts";
import type { CertificateFacts, IdentityDetail, IdentityRow, HealthLevel, PodFacts } from "./page-data.ts";
import { levelOf, worst } from "./problems.ts";
import type { ConsoleIdentity, ConsoleSource } from "./source.ts";

/** Of many pods, and of many clusters in each, so many are listed. */
const maxPods = 64;
const maxClusters = 64;
const maxExposures = 50;

interface DetailOptions {
  readonly source: ConsoleSource;
  readonly history: History;
  readonly commands: Commands;
}

/** All that attaché knows of one identity. */
export function detailOf(
  row: IdentityRow,
  { identity, status, certificates }: ConsoleIdentity,
  { source, history, commands }: DetailOptions,
): IdentityDetail {
  const { namespace, name } = identity.metadata;
  const { conditions = [], ...rest } = status ?? {};
  const names = targetNames(identity);
  const uses = new Set(status?.usedBy?.map(consumerKey));
  const exposures = (source.exposures ?? []).filter(({ consumer }) => uses.has(consumerKey(consumer)));
  const loaded = source.loadedOf(identity);
  const last = certificates.chain.at(-1);
  return {
    row,
    ...(status && { status: rest }),
    conditions: conditions.map((condition) => ({ ...condition, level: levelOf(condition) })),
    chain: certificates.chain.map(factsOf),
    roots: certificates.bundle.map((certificate) => ({
      ...factsOf(certificate),
      ...stateOf(certificate, status),
      isIssuer: last !== undefined && isIssuedBy(last, certificate),
    })),
    exposures: exposures.slice(0, maxExposures).map((one) => exposedConsumer(one, commands)),
    published: { tlsContext: names.tlsContext, secrets: secretNames(names) },
    ...(loaded && { pods: podsOf(loaded, row) }),
    rotations: history.rotationsOf(keyOf(identity)),
    command: commands.identity(namespace, name),
  };
}

function factsOf(certificate: Certificate): CertificateFacts {
  const { uris, subject, fingerprint, serialNumber, notBefore, notAfter, isCa } = certificate;
  const [uri = ""] = isCa ? [] : uris;
  return {
    name: printable(uri || subject || "no subject"),
    ...{ fingerprint, serialNumber },
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
  };
}

function stateOf({ fingerprint }: Certificate, status: Status | undefined) {
  const { state = "active", retireAt } =
    status?.roots?.find((root) => root.fingerprint === fingerprint) ?? {};
  return { state, ...(retireAt !== undefined && { retireAt }) };
}

function podsOf(emissaries: readonly EmissaryEvaluation[], row: IdentityRow): PodFacts[] {
  const all = emissaries.flatMap(({ emissary, pods }) => pods.map((pod) => ({ emissary, pod })));
  return all.slice(0, maxPods).map(({ emissary, pod }) => {
    const clusters = pod.clusters.slice(0, maxClusters).map((cluster) => ({
      name: cluster.name,
      ...shownIn(cluster.state, row),
      since: cluster.since.toISOString(),
      consumers: cluster.consumers.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`),
    }));
    const own = answerOf(pod);
    const level = worst([own.level, ...clusters.map((cluster) => cluster.level)]);
    return { emissary: emissary.name, pod: pod.pod.name, ...own, level, clusters };
  });
}

function answerOf({ progress, failure }: PodFinding): { readonly level: HealthLevel; readonly text: string } {
  if (progress?.isFrozen) return { level: "alarm", text: "takes no configuration" };
  if (failure !== undefined)
    return { level: "warning", text: `does not answer since ${failure.since.toISOString()}` };
  return { level: "good", text: "answers" };
}

type ServingState = PodFinding["clusters"][number]["state"];

function shownIn(state: ServingState, row: IdentityRow) {
  const known: Readonly<
    Record<ServingState["kind"], { readonly level: HealthLevel; readonly text: string }>
  > = {
    served: { level: "good", text: "current leaf" },
    oldLeaf: { level: "warning", text: "an older leaf" },
    oldRoots: { level: "warning", text: "older roots" },
    unmeasured: { level: "waiting", text: "TLS; this Envoy reports no certificates" },
    exposed: { level: "alarm", text: "no client certificate" },
    absent: { level: "warning", text: "no such cluster" },
    awaited: { level: "waiting", text: "not read since the last write" },
  };
  const notAfter =
    state.kind === "oldLeaf" ? state.notAfter : state.kind === "served" ? row.notAfter : undefined;
  return { ...known[state.kind], ...(notAfter !== undefined && { notAfter }) };
}
