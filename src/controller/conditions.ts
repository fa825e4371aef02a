import { isDeepStrictEqual } from "node:util";
import { type MeshCertificate } from "../api/mesh-certificate.ts";
import {
  type Condition,
  type ConditionType,
  conditionTypes,
  maxRootProblems,
  maxUses,
  type Status,
  type Use,
} from "../api/status.ts";
import { consumerKey } from "../emissary/consumer.ts";
import { type Severity, severities } from "../emissary/exposure.ts";
import type { NameConflict } from "../emissary/name-conflicts.ts";
import type { Rejection } from "../credentials/candidate.ts";
import { readEscapedId } from "../credentials/spiffe-id.ts";
import type { RootRemark, RootState } from "../credentials/trust-bundle.ts";
import { AttacheError } from "../errors/attache-error.ts";
import type { ConnectionState } from "../mesh/port.ts";
import type { Served } from "../ingress/ingress.ts";
import { MeshError } from "../mesh/errors.ts";
import { targetNames } from "../render/names.ts";
import { NotAllowedError } from "./allow.ts";
import type { Publication } from "./decide.ts";
import type { Published } from "../render/read-back.ts";

/** All that a status is made of. */
export interface Findings {
  readonly identity: MeshCertificate;
  readonly mesh: string;
  /** As in the status; absent in a folder. */
  readonly servedBy: string | undefined;
  readonly now: Date;
  readonly published: Published;
  /** Why what is published from before would not be published now. */
  readonly publishedRejection: Rejection | undefined;
  readonly roots: readonly RootState[];
  readonly remarks: readonly RootRemark[];
  /** Absent if the MeshCertificate wants no revocation lists, or nothing is published. */
  readonly revocation: Publication["revocation"];
  readonly renewalTime: Date | undefined;
  readonly lastRotationTime: string | undefined;
  readonly lastRenewRequest: string | undefined;
  /** Whether the mesh gave a credential since attaché watches. */
  readonly received: boolean;
  readonly rejection: Rejection | undefined;
  /** Why the mesh gives no credential. */
  readonly sourceError: unknown;
  readonly connection: ConnectionState | undefined;
  /** Why the store did not take the target. */
  readonly storeError: unknown;
  /** Who names what is published. */
  readonly uses: readonly Use[];
  /** What other objects do with the names of what is published. */
  readonly conflicts: readonly NameConflict[];
  /** What the ingress has made of it; absent where there is none. */
  readonly served: Served | undefined;
}

/**
 * The status that `findings` amount to. Equal findings give an equal status: times move only with what they
 * tell.
 */
export function statusOf(findings: Findings, previous: Status | undefined): Status {
  const status = statusNow(findings, previous);
  // The same is kept once, here and in the store.
  return previous !== undefined && isDeepStrictEqual(status, previous) ? previous : status;
}

function statusNow(findings: Findings, previous: Status | undefined): Status {
  const { identity, mesh, published, roots, remarks, renewalTime, lastRotationTime, lastRenewRequest, uses } =
    findings;
  const { generation } = identity.metadata;
  const leaf = published.credential?.chain[0];
  const [uri = ""] = leaf?.uris ?? [];
  // A leaf that another client has put in its place may have any URI.
  const spiffeId = readEscapedId(uri);
  const isSameLeaf = leaf !== undefined && previous?.serialNumber === leaf.serialNumber;
  const renewal = renewalTime?.toISOString() ?? (isSameLeaf ? previous.renewalTime : undefined);
  const verdicts: Record<ConditionType, Verdict | undefined> = {
    Ready: ready(findings),
    SourceReady: sourceReady(findings) ?? previousVerdict("SourceReady", previous) ?? waiting(findings),
    Published: stored(findings),
    Served: served(findings, previous),
    Protected: protectedUses(findings),
    RevocationChecked: revocationChecked(findings),
    Terminating: terminating(findings),
  };
  return {
    ...(generation !== undefined && { observedGeneration: generation }),
    mesh,
    ...(findings.servedBy !== undefined && { servedBy: findings.servedBy }),
    conditions: conditionTypes.flatMap((type) => {
      const found = verdicts[type];
      return found === undefined ? [] : condition(type, found, findings, previous);
    }),
    ...(leaf && {
      ...(spiffeId && { spiffeId: uri, trustDomain: spiffeId.trustDomain }),
      serialNumber: leaf.serialNumber,
      notBefore: leaf.notBefore.toISOString(),
      notAfter: leaf.notAfter.toISOString(),
      ...(renewal !== undefined && { renewalTime: renewal }),
      ...(lastRotationTime !== undefined && { lastRotationTime }),
      roots: roots.map(({ fingerprint, notAfter, state, retireAt }) => ({
        fingerprint,
        notAfter: notAfter.toISOString(),
        state,
        ...(retireAt && { retireAt: retireAt.toISOString() }),
      })),
    }),
    ...(remarks.length > 0 && { rootProblems: remarks.slice(0, maxRootProblems) }),
    ...(lastRenewRequest !== undefined && { lastRenewRequest }),
    ...(uses.length > 0 && { usedBy: uses.slice(0, maxUses), usedByCount: uses.length }),
  };
}

type Verdict = Pick<Condition, "status" | "reason" | "message">;

/** Whether the published certificate is valid now; an outage of the mesh does not change that. */
function ready(findings: Findings): Verdict {
  const { identity, published, publishedRejection, sourceError, roots, now } = findings;
  const { credential } = published;
  if (credential === undefined) {
    return verdict(
      "False",
      "NotPublished",
      "No certificate is published yet; see SourceReady and Published.",
    );
  }
  // Dates do not count here: the leaf's end is looked at below, its beginning by a clock that may be wrong.
  if (
    publishedRejection !== undefined &&
    publishedRejection.policy !== "leaf-is-current" &&
    publishedRejection.reviewAt === undefined
  ) {
    const cause = `${publishedRejection.policy}: ${publishedRejection.message}`;
    return verdict(
      "False",
      "NotAdmitted",
      `The published certificate no longer passes: ${cause} See SourceReady.`,
    );
  }
  if (roots.length > 0 && roots.every((root) => root.notAfter <= now)) {
    return verdict(
      "False",
      "RootsExpired",
      "Every root of the mesh has expired, so that Envoy refuses all upstreams. Renew the root in the mesh.",
    );
  }
  const { uris, notAfter } = credential.chain[0];
  if (
    isFinal(sourceError, uris) ||
    (identity.metadata.deletionTimestamp !== undefined && isRefusal(sourceError))
  ) {
    const message = `attaché may not renew the published certificate any more: ${sourceError.problem}. ${sourceError.remedy}`;
    return verdict("False", "Orphaned", message);
  }
  const until = notAfter.toISOString();
  return notAfter > now
    ? verdict("True", "Valid", `The leaf of ${uris.join(", ")} is valid until ${until}.`)
    : verdict(
        "False",
        "Expired",
        `The leaf expired at ${until}, and no new leaf has been published; see SourceReady and Published.`,
      );
}

/** Whether the settings must change before anything is renewed. */
function isRefusal(error: unknown): error is AttacheError {
  return error instanceof NotAllowedError || (MeshError.is(error) && error.code === "ATTACHE_MESH_UNKNOWN");
}

/** Whether that is so of what is published, and not only of what a changed spec asks for. */
function isFinal(error: unknown, published: readonly string[]): error is AttacheError {
  const isOther = error instanceof NotAllowedError && !published.some((uri) => error.expected.test(uri));
  return isRefusal(error) && !isOther;
}

/** Whether the mesh gives what can be published; `undefined` as long as nothing was heard of it. */
function sourceReady(findings: Findings): Verdict | undefined {
  const { mesh, rejection, sourceError, connection, received, remarks } = findings;
  if (rejection !== undefined) {
    return verdict("False", "Rejected", `${rejection.policy}: ${rejection.message} ${rejection.remedy}`);
  }
  if (sourceError !== undefined) return failure(sourceError);
  if (connection?.connected === false) return failure(connection.error);
  if (!received) return undefined;
  const shown = remarks.slice(0, namedRemarks).map(({ message }) => message);
  const more =
    remarks.length > shown.length ? [`${remarks.length - shown.length} more roots have problems.`] : [];
  return verdict(
    "True",
    "Received",
    [`The mesh "${mesh}" provides certificates.`, ...shown, ...more].join(" "),
  );
}

/** After a restart what was so counts as so, until the mesh is heard: a condition does not flap. */
function previousVerdict(type: ConditionType, previous: Status | undefined): Verdict | undefined {
  return previous?.conditions.find((one) => one.type === type);
}

function waiting({ mesh }: Findings): Verdict {
  return verdict("Unknown", "Waiting", `Waiting for the first certificate from the mesh "${mesh}".`);
}

/** Whether the store has what the mesh gave. */
function stored({ identity, published, storeError }: Findings): Verdict {
  if (storeError !== undefined) return failure(storeError);
  if (published.credential === undefined)
    return verdict("False", "Waiting", "There is nothing to publish yet.");
  const { secret, caSecret, tlsContext } = targetNames(identity);
  return verdict(
    "True",
    "Published",
    `Secret ${secret}, CA Secret ${caSecret} and TLSContext ${tlsContext}.`,
  );
}

/** Whether the ingress has loaded what is published. */
function served(
  { served: found, published: { credential } }: Findings,
  previous: Status | undefined,
): Verdict | undefined {
  if (found === undefined) return undefined;
  if (credential === undefined && found.reason !== "NotConfigured")
    return verdict("False", "NotPublished", "No certificate is published yet; see Published.");
  const next = verdict(found.status, found.reason, found.message);
  const before = previousVerdict("Served", previous);
  const wasReported = before !== undefined && !["NotPublished", "NotConfigured"].includes(before.reason);
  return found.reason === "Waiting" && wasReported ? before : next;
}

/** Whether Envoy refuses upstreams whose certificate the mesh has revoked; only where that is wanted. */
function revocationChecked({ identity, revocation, published }: Findings): Verdict | undefined {
  const { crlSecret } = targetNames(identity);
  if (crlSecret === undefined) return undefined;
  if (revocation === undefined)
    return verdict(
      "False",
      "NotPublished",
      "No certificate is published yet; see SourceReady and Published.",
    );
  const { problem, remarks } = revocation;
  const { lists, isChecked } = published.revocation;
  const shown = remarks.slice(0, namedRemarks);
  if (problem !== undefined) {
    const message = [
      problem.message,
      "Envoy does not check revocation, since it would refuse good certificates.",
      ...shown,
    ];
    return verdict("False", problem.reason, message.join(" "));
  }
  if (!isChecked)
    return verdict("Unknown", "Waiting", `The TLSContext will name the Secret ${crlSecret} in some seconds.`);
  const [first] = lists
    .map(({ nextUpdate }) => nextUpdate)
    .toSorted((one, other) => Number(one) - Number(other));
  const message = `Envoy checks upstreams against the ${lists.length} revocation lists in the Secret ${crlSecret}; the first one ends at ${first?.toISOString() ?? ""}.`;
  return verdict("True", "Checked", [message, ...shown].join(" "));
}

/** During deletion only: the consumers that block it. */
function terminating({ identity, uses }: Findings): Verdict | undefined {
  if (identity.metadata.deletionTimestamp === undefined) return undefined;
  // One that is exposed already loses nothing.
  const kept = uses.filter(({ exposure }) => exposure === undefined);
  // The store would say that it is gone.
  if (kept.length === 0)
    return verdict(
      "Unknown",
      "Waiting",
      "Nothing uses it: attaché removes it after `limits.deletionGrace`, once all possible consumers are listed.",
    );
  return verdict(
    "True",
    "InUse",
    `In use by ${listed(kept)}: attaché keeps it and renews it. Remove their \`tls:\` first, ` +
      'or annotate the MeshCertificate with attache.dev/force-delete: "true", after which they send plaintext.',
  );
}

/** Whether all consumers are protected; the worst grade is the reason. */
function protectedUses({ uses, conflicts, served: found }: Findings): Verdict | undefined {
  const [conflict] = conflicts;
  if (conflict !== undefined) {
    const messages = conflicts.slice(0, namedConflicts).map(({ message }) => message);
    const more = conflicts.length - messages.length;
    return verdict("False", conflict.reason, [...messages, ...(more > 0 ? [`${more} more.`] : [])].join(" "));
  }
  if (uses.length === 0 && found?.reason !== "Exposed") return undefined;
  const worst = severities.find((severity) => uses.some(({ exposure }) => exposure === severity));
  // What Envoy shows counts, whatever the objects say.
  if (found?.reason === "Exposed" && (worst === undefined || worst === "unverified"))
    return verdict("False", found.reason, found.message);
  if (worst === undefined)
    return verdict(
      "True",
      "Protected",
      "All consumers present a client certificate and verify the upstream.",
    );
  const exposed = uses.filter(({ exposure }) => exposure === worst);
  const { reason, message } = exposures[worst];
  return verdict(
    "False",
    reason,
    `${message}: ${listed(exposed)}. See \`attache status --mappings\` for why.`,
  );
}

const exposures: Readonly<Record<Severity, { readonly reason: string; readonly message: string }>> = {
  plaintext: { reason: "Plaintext", message: "Requests are sent in plaintext" },
  anonymous: { reason: "Anonymous", message: "Requests are sent without a client certificate" },
  unverified: { reason: "Unverified", message: "Upstreams are not verified" },
};

function listed(uses: readonly Use[]): string {
  const named = uses.slice(0, namedUses).map(consumerKey);
  return uses.length > namedUses
    ? `${named.join(", ")} and ${uses.length - namedUses} more`
    : named.join(", ");
}

/** The most conflicts of names that a message has. */
const namedConflicts = 3;

/** The most remarks on roots that a message has. */
const namedRemarks = 3;

/** The most uses that a message names. */
const namedUses = 10;

function failure(error: unknown): Verdict {
  if (MeshError.is(error) || error instanceof AttacheError) {
    return verdict("False", reasonOf(error.code), `${error.message}. ${error.remedy}`);
  }
  return verdict("Unknown", "InternalError", "attaché failed in a way that it does not know; see its log.");
}

/** `ATTACHE_MESH_RATE_LIMITED` is the reason `RateLimited`. */
function reasonOf(code: string): string {
  return code
    .replace(/^ATTACHE_(?:MESH_|STORE_|KUBERNETES_)?/, "")
    .toLowerCase()
    .replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function verdict(status: Verdict["status"], reason: string, message: string): Verdict {
  return { status, reason, message };
}

function condition(
  type: ConditionType,
  found: Verdict,
  { identity, now }: Findings,
  previous: Status | undefined,
): Condition {
  const before = previous?.conditions.find((one) => one.type === type);
  const { generation } = identity.metadata;
  const { status, reason, message } = found;
  return {
    type,
    status,
    reason,
    message,
    lastTransitionTime: before?.status === status ? before.lastTransitionTime : now.toISOString(),
    ...(generation !== undefined && { observedGeneration: generation }),
  };
}
