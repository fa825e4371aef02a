import type { Certificate } from "./certificate.ts";
import { type Chain, rootOfChainFirst } from "./path.ts";
import type { Profile } from "./profile.ts";
import { keyProblem } from "./public-key.ts";

/** A root that the mesh has dropped and that stays trusted for a while. */
export interface RetainedRoot {
  readonly certificate: Certificate;
  readonly retireAt: Date;
}

/** One published root, as status shows it and as the CA Secret remembers it. */
export interface RootState {
  readonly fingerprint: string;
  readonly notAfter: Date;
  /** active: the mesh lists it. retiring: it does not any more. */
  readonly state: "active" | "retiring";
  /** Only while retiring. */
  readonly retireAt?: Date;
}

export interface Retention {
  /**
   * To be published. A root keeps its place while it stays: no change of order, no write. New ones come
   * first, as Envoy
   * shows the end of the first and of no other: so it is seen that an ingress has taken them.
   */
  readonly bundle: readonly Certificate[];
  /** One for each of `bundle`, in the same order. */
  readonly roots: readonly RootState[];
  /** When a root retires or ends next: ask again then. */
  readonly nextChangeAt?: Date;
  /** What the mesh lists and attaché does not publish, or not first; in the order of the list. */
  readonly remarks: readonly RootRemark[];
}

export const rootProblems = [
  /** Envoy would refuse the whole configuration for it: it is not published. */
  "UnreadableByEnvoy",
  /** It has ended: it is not published, unless it is the last one. */
  "Expired",
  /** Emissary cannot read it: it is published, but not first. */
  "UnreadableByEmissary",
  "UnusableKey",
  /** Another root has its name, and nothing tells their keys apart. */
  "Ambiguous",
  /** It stood in the CA Secret, and neither the mesh nor attaché's own status knows it. */
  "Unknown",
] as const;
export type RootProblem = (typeof rootProblems)[number];

/** What an operator should know of one root of the mesh. */
export interface RootRemark {
  readonly fingerprint: string;
  readonly reason: RootProblem;
  /** As a sentence. */
  readonly message: string;
}

export interface RetentionInput {
  /** What the mesh lists now. */
  readonly listed: readonly Certificate[];
  /** What was published so far. */
  readonly published: readonly Certificate[];
  /** What was already retiring, and until when. */
  readonly previouslyRetained: readonly RetainedRoot[];
  readonly retainMs: number;
  /** Fingerprints of those that must not be retained. */
  readonly distrusted?: readonly string[];
  /** What is published with these roots. */
  readonly chain?: Chain;
  readonly now: Date;
}

/**
 * A mesh that changes its root faster than they retire must not grow the bundle without end. In DER; with it
 * the
 * largest bundle that the policy `is-within-limits` admits still fits into a Secret.
 */
export const maxRetainedBytes = 128 * 1024;

/**
 * Which roots to publish: all that are listed, and each that is listed no longer until `retainMs` after it was
 * first seen missing, never past its own end, and not at all if it is distrusted. A recorded time counts unless
 * it is later than the setting allows: writing the record prolongs nothing. A root that is listed again is
 * active again. Of more than {@link maxRetainedBytes} those that would stay longest are kept.
 */
export function retain({
  listed,
  published,
  previouslyRetained,
  retainMs,
  distrusted = [],
  chain,
  now,
}: RetentionInput): Retention {
  const active = new Set(listed.map(({ fingerprint }) => fingerprint));
  const recorded = new Map(previouslyRetained.map((root) => [root.certificate.fingerprint, root.retireAt]));
  const previous = previouslyRetained.map(({ certificate }) => certificate);
  const known = new Set([...published, ...previous].map(({ fingerprint }) => fingerprint));
  const added = listed.filter(({ fingerprint }) => !known.has(fingerprint));
  const roots = union(added, published, previous, listed).map((certificate): Root => {
    if (active.has(certificate.fingerprint)) return { certificate };
    const retireAt = new Date(now.getTime() + retainMs);
    const record = recorded.get(certificate.fingerprint) ?? retireAt;
    const isPlausible = record.getTime() <= retireAt.getTime() + Math.min(retainMs, clockStepMs);
    return { certificate, retireAt: earlier(isPlausible ? record : retireAt, certificate.notAfter) };
  });
  const retiring = longest(
    roots
      .filter(({ certificate }) => !distrusted.includes(certificate.fingerprint))
      .filter((root): root is RetainedRoot => root.retireAt !== undefined && root.retireAt > now),
  );
  const kept = roots.filter((root) => root.retireAt === undefined || retiring.some((one) => one === root));
  const { bundle, remarks } = presentable(
    kept.map(({ certificate }) => certificate),
    now,
    chain,
  );
  const presented = bundle.flatMap(
    (certificate) => kept.find((root) => root.certificate === certificate) ?? [],
  );
  const changes = presented.map(({ certificate, retireAt }) => retireAt ?? certificate.notAfter);
  const next = Math.min(...changes.map((date) => date.getTime()).filter((time) => time > now.getTime()));
  return {
    bundle,
    roots: presented.map(stateOf),
    ...(Number.isFinite(next) && { nextChangeAt: new Date(next) }),
    remarks,
  };
}

/**
 * The roots that Envoy gets, in order, with remarks on the others:
 *
 * - One that Envoy cannot read would make it refuse the whole configuration: it is left out.
 * - One that has ended is left out while another is left: BoringSSL follows the first root of a name and key
 *   that it finds, also
 *   an ended one. Without any other the one that ended last stays, however old: requests then fail with 503
 *   and are not sent
 *   unverified.
 * - Of several with one name and key the one that lasts longest stands first, for the same reason.
 * - Of several with one name and different keys, which no key identifier tells apart, the one that leads to
 *   `chain` stands first.
 * - One that only Go cannot read stays, but not first: Emissary reads the first certificate of a Secret.
 */
export function presentable(
  roots: readonly Certificate[],
  now: Date,
  chain?: Chain,
): Pick<Retention, "bundle" | "remarks"> {
  const readable = roots.filter((root) => root.profile("authority").envoy === undefined);
  const current = readable.filter(({ notAfter }) => notAfter > now);
  const lasting = longestFirst(current.length > 0 ? current : readable.toSorted(byEnd).slice(0, 1));
  const ordered = chain === undefined ? lasting : rootOfChainFirst(chain, lasting);
  const first = ordered.findIndex((root) => root.profile("authority").go === undefined);
  const bundle = first > 0 ? [...ordered.slice(first, first + 1), ...ordered.toSpliced(first, 1)] : ordered;
  const remarks = roots.flatMap((root) => {
    const found = remarkOn(root, root.profile("authority"), bundle, now);
    return found === undefined ? [] : [{ fingerprint: root.fingerprint, ...found }];
  });
  return { bundle, remarks };
}

function remarkOn(
  root: Certificate,
  { envoy, go }: Profile,
  bundle: readonly Certificate[],
  now: Date,
): Omit<RootRemark, "fingerprint"> | undefined {
  const name = `The root "${root.toString()}"`;
  const remark = (reason: RootProblem, rest: string) => ({ reason, message: `${name} ${rest}.` });
  if (envoy !== undefined)
    return remark("UnreadableByEnvoy", `is left out, since Envoy does not read it: it has ${envoy}`);
  if (root.notAfter <= now) {
    const rest = bundle.includes(root) ? "is published because there is no other" : "is left out";
    return remark("Expired", `ended at ${root.notAfter.toISOString()} and ${rest}`);
  }
  if (go !== undefined) return remark("UnreadableByEmissary", `is not read by Emissary: it has ${go}`);
  const unusable = keyProblem(root.subjectKeyInfo, "root");
  if (unusable !== undefined)
    return remark("UnusableKey", `verifies nothing in Envoy: its key is ${unusable}`);
  const isAmbiguous = bundle.some(
    (other) =>
      other.subject === root.subject && !hasKey(other, root) && other.extensions.subjectKeyId === undefined,
  );
  return isAmbiguous
    ? remark(
        "Ambiguous",
        "shares its name with a root that has another key and no key identifier: Envoy tries only the first",
      )
    : undefined;
}

/** Roots of one name and key change places among themselves. */
function longestFirst(roots: readonly Certificate[]): Certificate[] {
  const groups = new Map<string, Certificate[]>();
  const keyOf = (root: Certificate) => `${root.subjectKeyInfo.toString("latin1")} ${root.subject}`;
  for (const root of roots) groups.set(keyOf(root), [...(groups.get(keyOf(root)) ?? []), root]);
  for (const group of groups.values()) {
    group.sort(byEnd);
  }
  return roots.map((root) => groups.get(keyOf(root))?.shift() ?? root);
}

/** The one that lasts longest first. */
function byEnd(one: Certificate, other: Certificate): number {
  return other.notAfter.getTime() - one.notAfter.getTime();
}

function hasKey(one: Certificate, other: Certificate): boolean {
  return one.subjectKeyInfo.equals(other.subjectKeyInfo);
}

/** Each certificate once, in the order in which it first comes. */
export function union(...lists: readonly (readonly Certificate[])[]): Certificate[] {
  return [...new Map(lists.flat().map((certificate) => [certificate.fingerprint, certificate])).values()];
}

type Root = Pick<RetainedRoot, "certificate"> & Partial<RetainedRoot>;

/** A record may be this much later than now and the setting say: the clock may have been set back since. */
const clockStepMs = 24 * 3_600_000;

/** Those that retire last, last first, as many as {@link maxRetainedBytes} holds. */
function longest(retiring: readonly RetainedRoot[]): RetainedRoot[] {
  let bytes = 0;
  return retiring
    .toSorted((a, b) => b.retireAt.getTime() - a.retireAt.getTime())
    .filter(({ certificate }) => (bytes += certificate.der.length) <= maxRetainedBytes);
}

function stateOf({ certificate: { fingerprint, notAfter }, retireAt }: Root): RootState {
  return retireAt === undefined
    ? { fingerprint, notAfter, state: "active" }
    : { fingerprint, notAfter, state: "retiring", retireAt };
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}
