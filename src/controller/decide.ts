import type { MeshCertificate } from "../api/mesh-certificate.ts";
import type { Limits, Rejection } from "../credentials/candidate.ts";
import type { Credential } from "../credentials/credential.ts";
import { admit } from "../credentials/policies.ts";
import { type Revocation, revocationOf } from "../credentials/revocation.ts";
import { type Retention, retain } from "../credentials/trust-bundle.ts";
import type { Published } from "../render/read-back.ts";
import type { PublishedRevocation } from "../render/render.ts";
import type { Authorization } from "./authorization.ts";
import { distrustedOf } from "../api/requests.ts";

/** What a reconciler knows when it decides. */
interface Knowledge {
  readonly identity: MeshCertificate;
  readonly authorization: Authorization;
  readonly published: Published;
  /** The last credential that passed every policy. */
  readonly lastGood: Credential | undefined;
  /** The newest credential of the mesh, if it has not passed yet: it may once time has passed. */
  readonly candidate: Credential | undefined;
  /** Why what was published before would not be published now, as decided last. */
  readonly publishedRejection: Rejection | undefined;
}

/** What decisions depend on besides; the same for all identities of a mesh. */
export interface Rules {
  readonly trustDomain: string | undefined;
  /** For how long roots that the mesh lists no more stay trusted. */
  readonly retainMs: number;
  readonly clockSkewMs: number;
  readonly limits: Limits;
  readonly now: Date;
  /**
   * How long the leaf of `next` has to wait while another one is published; in milliseconds, 0: not at all.
   */
  readonly leafWaitMs: (published: Published, next: Credential) => number;
  /** How long the revocation lists that are published have to stay there before the TLSContext may name them. */
  readonly revocationWaitMs: (published: Published) => number;
}

export interface Decision extends Pick<Knowledge, "lastGood" | "candidate" | "publishedRejection"> {
  /** Why the candidate is not good. */
  readonly rejection: Rejection | undefined;
  /** What is to be published; absent until something is good. */
  readonly publication: Publication | undefined;
}

export interface Publication {
  readonly credential: Credential;
  readonly retention: Retention;
  /** Absent if the MeshCertificate wants no revocation lists. */
  readonly revocation: (Revocation & PublishedRevocation) | undefined;
  /** How long what is left out of this has to wait yet; 0 if nothing is. */
  readonly leafWaitMs: number;
  readonly revocationWaitMs: number;
}

/**
 * What is good, and what of it to publish now. The last good credential stays until a better one has passed
 * every policy; what is published from before is good if it would be admitted now. New roots are published at
 * once, a new leaf when `leafWaitMs` says so.
 */
export function decide(known: Knowledge, rules: Rules): Decision {
  const before = judgePublished(known, rules);
  const { candidate } = known;
  const rejection = candidate && verdict(candidate, known, rules, known.published.credential);
  const isAdmitted = candidate !== undefined && rejection === undefined;
  const lastGood = isAdmitted ? candidate : before.lastGood;
  return {
    lastGood,
    candidate: isAdmitted ? undefined : candidate,
    rejection,
    publishedRejection: before.publishedRejection,
    publication: lastGood && publication(lastGood, before.publishedRejection, known, rules),
  };
}

/** Which roots stand beside what is published: those of `credential`, and those that retire. */
export function retentionOf(
  credential: Credential,
  { identity, published }: Pick<Knowledge, "identity" | "published">,
  { retainMs, now }: Pick<Rules, "retainMs" | "now">,
): Retention {
  const retention = retain({
    listed: credential.bundle,
    chain: credential.chain,
    published: published.bundle,
    previouslyRetained: published.retained,
    retainMs,
    distrusted: distrustedOf(identity),
    now,
  });
  return { ...retention, remarks: [...(credential.leftOut ?? []), ...retention.remarks] };
}

/** What is published once the store has `publication`. */
export function publishedBy({ credential, retention, revocation }: Publication): Published {
  const { bundle, roots } = retention;
  const retained = bundle.flatMap((certificate, index) => {
    const retireAt = roots[index]?.retireAt;
    return retireAt === undefined ? [] : [{ certificate, retireAt }];
  });
  const { lists = [], isChecked = false } = revocation ?? {};
  return { credential, bundle, retained, revocation: { lists, isChecked } };
}

/**
 * What counts as published and as good once another writer has put the leaf `found` in place of the published one. A
 * newer leaf that would be admitted stays, as what a former leader wrote late.
 */
export function afterDrift(
  known: Knowledge,
  found: Credential | undefined,
  rules: Rules,
): Pick<Knowledge, "published" | "lastGood"> {
  const { published, lastGood } = known;
  const { credential } = published;
  if (found === undefined || credential === undefined || !isNewer(found, credential)) return known;
  const leaf = { ...found, bundle: credential.bundle };
  if (verdict(leaf, known, rules, credential) !== undefined) return known;
  const isNewest = lastGood === undefined || isNewer(leaf, lastGood);
  return { published: { ...published, credential: leaf }, lastGood: isNewest ? undefined : lastGood };
}

/** Whether the leaf of `one` was issued later; of two that began at once, the one that ends later was. */
function isNewer({ chain: [one] }: Credential, { chain: [other] }: Credential): boolean {
  const began = one.notBefore.getTime() - other.notBefore.getTime();
  return began > 0 || (began === 0 && one.notAfter > other.notAfter);
}

function judgePublished(known: Knowledge, rules: Rules): Pick<Decision, "lastGood" | "publishedRejection"> {
  const { lastGood, publishedRejection, authorization, published } = known;
  const { credential } = published;
  if (lastGood !== undefined || credential === undefined || authorization.kind === "refused") {
    return { lastGood, publishedRejection };
  }
  const rejection = verdict(credential, known, rules);
  return { lastGood: rejection === undefined ? credential : undefined, publishedRejection: rejection };
}

function verdict(
  credential: Credential,
  known: Knowledge,
  rules: Rules,
  published?: Credential,
): Rejection | undefined {
  const { authorization } = known;
  const { trustDomain, now, clockSkewMs, limits } = rules;
  const isGranted = authorization.kind === "granted";
  const found = admit({
    credential,
    expected: {
      ...(isGranted && { spiffeId: authorization.expected }),
      ...(trustDomain !== undefined && { trustDomain }),
    },
    allowed: isGranted ? authorization.allowed : [],
    ...(published && { published }),
    publishedBundle: () => retentionOf(credential, known, rules).bundle,
    now,
    clockSkewMs,
    limits,
  });
  return found.kind === "rejected" ? found.rejection : undefined;
}

function publication(
  lastGood: Credential,
  publishedRejection: Rejection | undefined,
  known: Knowledge,
  rules: Rules,
): Publication {
  const { published } = known;
  // A leaf that would not be admitted any more is replaced at once.
  const leafWaitMs = publishedRejection === undefined ? rules.leafWaitMs(published, lastGood) : 0;
  const isHeld = published.credential !== undefined && leafWaitMs > 0;
  const credential = isHeld ? { ...published.credential, bundle: lastGood.bundle } : lastGood;
  const retention = retentionOf(credential, known, rules);
  const revocation =
    known.identity.spec.target.crlSecret === undefined
      ? undefined
      : revocationOf({
          ...rules,
          offered: lastGood.crls,
          published: published.revocation.lists,
          chain: credential.chain,
          bundle: retention.bundle,
          secretBytes: rules.limits.secretBytes,
        });
  const mayCheck = revocation !== undefined && revocation.problem === undefined;
  const revocationWaitMs = mayCheck ? rules.revocationWaitMs(published) : 0;
  return {
    credential,
    retention,
    revocation: revocation && { ...revocation, isChecked: mayCheck && revocationWaitMs === 0 },
    leafWaitMs,
    revocationWaitMs,
  };
}
