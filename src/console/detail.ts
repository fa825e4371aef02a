import { X509Certificate } from "node:crypto";
import type { MeshCertificate } from "../api/mesh-certificate.ts";
import type { Condition, Status } from "../api/status.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { isIssuedBy } from "../credentials/chain.ts";
import { type Consumer, consumerKey, usersOf as consumersOf } from "../emissary/consumer.ts";
import type { Exposure } from "../emissary/exposure.ts";
import { usesSecret } from "../emissary/secret-users.ts";
import type { SecretUser } from "../emissary/tls-context.ts";
import type { EmissaryEvaluation, PodFinding } from "../ingress/observation.ts";
import { secretNames, targetNames } from "../render/names.ts";
import { printable } from "../text/printable.ts";
import type { Commands } from "./commands.ts";
import { exposedConsumer } from "./overview.ts";
import type {
  CertificateFacts,
  HealthLevel,
  IdentityDetail,
  IdentityRow,
  PodFacts,
  Rotation,
} from "./page-data.ts";
import { levelOf, worst } from "./problems.ts";
import type { ConsoleIdentity } from "./source.ts";

/** Of many pods, and of many clusters in each, so many are listed. */
const maxPods = 64;
const maxClusters = 64;
const maxExposures = 50;
const maxUsers = 50;

/** What is known of an identity besides its status and what is published. */
interface DetailFacts {
  readonly exposures?: readonly Exposure[] | undefined;
  /** All consumers, of any context, where they are known; those in the status count too. */
  readonly consumers?: readonly Consumer[];
  /** All that names Secrets. */
  readonly secretUsers?: readonly SecretUser[];
  readonly loaded?: readonly EmissaryEvaluation[] | undefined;
  /** Newest first. */
  readonly rotations?: readonly Rotation[];
  readonly commands: Commands;
}

/** The whole story of one identity: for the console's page, and for `attache inspect`. */
export function detailOf(
  row: IdentityRow,
  { identity, status, certificates }: ConsoleIdentity,
  facts: DetailFacts,
): IdentityDetail {
  const { commands, loaded, rotations = [] } = facts;
  const { namespace, name } = identity.metadata;
  const { conditions, ...rest }: Status = status ?? { conditions: [] };
  const { chain, bundle } = certificates;
  const issued = chain.at(-1);
  const { rootProblems = [], lastRotationTime: last } = rest;
  const users = usersOf(identity, status, facts);
  const uses = new Set(users.map(consumerKey));
  const exposures = (facts.exposures ?? []).filter(({ consumer }) => uses.has(consumerKey(consumer)));
  const published = new Set(bundle.map(({ fingerprint }) => fingerprint));
  return {
    row,
    ...(status && { status: rest }),
    conditions: conditions.map((condition) => {
      const level = levelOf(condition);
      const isOpen = level === "warning" || level === "alarm";
      return { ...condition, level, ...(isOpen && { next: nextStep(condition, commands) }) };
    }),
    ...(chain[0] && { keyType: keyTypeOf(chain[0]) }),
    chain: chain.map(factsOf),
    roots: bundle.map((certificate) => ({
      ...factsOf(certificate),
      ...stateOf(certificate, status),
      isIssuer: issued !== undefined && isIssuedBy(issued, certificate),
    })),
    leftOut: rootProblems.filter(({ fingerprint }) => !published.has(fingerprint)),
    users: users.slice(0, maxUsers),
    moreUsers: Math.max(0, Math.max(users.length, rest.usedByCount ?? 0) - maxUsers),
    exposures: exposures.slice(0, maxExposures).map((one) => exposedConsumer(one, commands)),
    published: targetNames(identity),
    ...(loaded && { pods: podsOf(loaded, row) }),
    rotations: rotations.length === 0 && last !== undefined ? [{ at: last, cause: "last" }] : rotations,
    command: commands.identity(namespace, name),
  };
}

/** The consumers of the context, as attaché has reported and as they are, and what names the Secrets otherwise. */
function usersOf(
  identity: MeshCertificate,
  status: Status | undefined,
  { exposures = [], consumers = [], secretUsers = [] }: DetailFacts,
): IdentityDetail["users"] {
  const { namespace } = identity.metadata;
  const names = targetNames(identity);
  const context = { name: names.tlsContext, ambassadorIds: identity.spec.target.tlsContext.ambassadorId };
  const severities = new Map(exposures.map(({ consumer, severity }) => [consumerKey(consumer), severity]));
  const uses = [...(status?.usedBy ?? []), ...consumersOf(context, consumers)].map((use) => {
    const { kind, namespace: place, name } = use;
    const exposure = severities.get(consumerKey(use)) ?? ("exposure" in use ? use.exposure : undefined);
    const level = exposure === undefined ? ("good" as const) : ("alarm" as const);
    return { kind, namespace: place, name, level, ...(exposure && { exposure }) };
  });
  const isOwn = (user: SecretUser) =>
    user.kind === "TLSContext" && user.namespace === namespace && user.name === names.tlsContext;
  const others = secretUsers.flatMap((user) => {
    const secret = secretNames(names).find((one) => usesSecret(user, { namespace, name: one }));
    if (secret === undefined || isOwn(user)) return [];
    const level = user.namespace === namespace ? ("good" as const) : ("alarm" as const);
    return [{ kind: user.kind, namespace: user.namespace, name: user.name, level, secret }];
  });
  return [...new Map([...uses, ...others].map((user) => [consumerKey(user), user])).values()];
}

/** The message of a condition says what to change; this command shows more. */
function nextStep({ type }: Condition, commands: Commands): string {
  return commands.attache(type === "Protected" || type === "Terminating" ? "status --mappings" : "doctor");
}

function keyTypeOf({ der }: Certificate): string {
  const { asymmetricKeyType = "", asymmetricKeyDetails = {} } = new X509Certificate(der).publicKey;
  const { namedCurve, modulusLength = "" } = asymmetricKeyDetails;
  const curves: Readonly<Record<string, string>> = {
    prime256v1: "P-256",
    secp384r1: "P-384",
    secp521r1: "P-521",
  };
  const detail = namedCurve === undefined ? String(modulusLength) : (curves[namedCurve] ?? namedCurve);
  return `${asymmetricKeyType.toUpperCase()} ${detail}`.trim();
}

function factsOf(certificate: Certificate): CertificateFacts {
  const { uris, subject, issuer, fingerprint, serialNumber, notBefore, notAfter, isCa } = certificate;
  const [uri = ""] = isCa ? [] : uris;
  return {
    name: printable(uri || subject || "no subject"),
    issuer: printable(issuer),
    ...{ fingerprint, serialNumber },
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
  };
}

function stateOf({ fingerprint }: Certificate, status: Status | undefined) {
  const isIt = (one: { readonly fingerprint: string }) => one.fingerprint === fingerprint;
  const { state = "active", retireAt } = status?.roots?.find(isIt) ?? {};
  const remark = status?.rootProblems?.find(isIt);
  return { state, ...(retireAt !== undefined && { retireAt }), ...(remark && { remark }) };
}

function podsOf(emissaries: readonly EmissaryEvaluation[], row: IdentityRow): PodFacts[] {
  const all = emissaries.flatMap(({ emissary, pods }) => pods.map((pod) => ({ emissary, pod })));
  return all.slice(0, maxPods).map(({ emissary, pod }) => {
    const clusters = pod.clusters.slice(0, maxClusters).map((cluster) => ({
      name: cluster.name,
      ...shownIn(cluster.state, row),
      since: cluster.since.toISOString(),
      consumers: cluster.consumers.map(consumerKey),
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
