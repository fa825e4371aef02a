import type { Certificate } from "./certificate.ts";
import { isIssuedBy } from "./chain.ts";
import type { Credential } from "./credential.ts";
import type { Crl, Crls } from "./crl.ts";

/** Which revocation lists to publish, and whether Envoy may check revocation with them. */
export interface Revocation {
  /** One for each CA that is to be published; others while {@link problem} says why. */
  readonly lists: readonly Crl[];
  /** Why Envoy must not check: it would refuse certificates that are good. */
  readonly problem?: { readonly reason: RevocationProblem; readonly message: string };
  /** Why lists of the mesh are left out, each as a sentence. */
  readonly remarks: readonly string[];
  /** When a list begins or ends to count: ask again then. */
  readonly nextChangeAt?: Date;
}

export const revocationProblems = ["NoLists", "NotCovered", "NotCurrent", "Ambiguous", "TooLarge"] as const;
export type RevocationProblem = (typeof revocationProblems)[number];

interface RevocationInput {
  /** What the mesh sends now. */
  readonly offered: Crls | undefined;
  /** What was published so far: a list counts until there is a newer one, or it ends. */
  readonly published: readonly Crl[];
  readonly chain: Credential["chain"];
  /** The roots that are published. */
  readonly bundle: readonly Certificate[];
  readonly now: Date;
  /** How far the clocks of the mesh, of Envoy and ours may disagree. */
  readonly clockSkewMs: number;
  /** The most that the data of one Secret may take, in bytes, as base64. */
  readonly secretBytes: number;
}

/** The ingress needs this long at most to load that a list has ended. */
const leadMs = 5 * 60_000;

/**
 * Envoy, once it has any list, checks each certificate of a chain against a current list of its issuer, roots
 * included, and refuses the chain if there is none. So revocation is checked only while each root that is
 * published, and each CA of attaché's own chain, has one: from its beginning, until {@link leadMs} before its end.
 */
export function revocationOf(input: RevocationInput): Revocation {
  const { offered, published, chain, bundle, now, clockSkewMs, secretBytes } = input;
  const all = distinct([...(offered?.lists ?? []), ...published]);
  const issuers = [...bundle, ...chain.slice(1)];
  const strays = (offered?.lists ?? []).filter((list) => !issuers.some((issuer) => list.isOf(issuer)));
  const remarks = [
    ...(offered?.problems ?? []),
    ...strays.map((list) => `The revocation list of "${list.toString()}" is signed by no CA of the mesh.`),
  ];
  const begin = ({ thisUpdate }: Crl) => thisUpdate.getTime() + clockSkewMs;
  const end = ({ nextUpdate }: Crl) => nextUpdate.getTime() - clockSkewMs - leadMs;
  const signed = all.filter((list) => issuers.some((issuer) => list.isOf(issuer)));
  const current = signed.filter((list) => begin(list) <= now.getTime() && now.getTime() < end(list));
  const chosen = distinct(issuers.flatMap((issuer) => newestOf(issuer, current) ?? []));
  const changes = [...chosen.map(end), ...signed.map(begin)].filter((time) => time > now.getTime());
  const common = { remarks, ...(changes.length > 0 && { nextChangeAt: new Date(Math.min(...changes)) }) };
  const problem = problemOf();
  return problem === undefined ? { ...common, lists: chosen } : { ...common, lists: published, problem };

  function problemOf(): Revocation["problem"] {
    if (all.length === 0) return { reason: "NoLists", message: "The mesh sends no revocation lists." };
    for (const issuer of issuers) {
      const name = `"${issuer.toString()}"`;
      if (newestOf(issuer, signed) === undefined)
        return { reason: "NotCovered", message: `There is no revocation list of the CA ${name}.` };
      if (newestOf(issuer, current) === undefined) {
        const message = `No revocation list of the CA ${name} is current: the last one is for ${termOf(newestOf(issuer, signed))}.`;
        return { reason: "NotCurrent", message };
      }
      // Envoy takes one of them, and tries no other if another key has signed it.
      if (chosen.some((list) => list.mayBeOf(issuer) && !list.isOf(issuer)))
        return {
          reason: "Ambiguous",
          message: `Several CAs are called ${name}, and their lists do not tell them apart.`,
        };
    }
    const foreign = bundle.find(({ subject, issuer }) => subject !== issuer);
    if (foreign !== undefined) {
      const message = `The root "${foreign.toString()}" is not self-signed: Envoy would look for a list of its issuer.`;
      return { reason: "NotCovered", message };
    }
    const bytes = chosen.reduce((sum, list) => sum + Math.ceil(list.toPem().length / 3) * 4, 0);
    return bytes > secretBytes
      ? {
          reason: "TooLarge",
          message: `The lists take ${bytes} bytes in a Secret, which holds ${secretBytes}.`,
        }
      : undefined;
  }
}

/**
 * The first certificate of the chain that the newest list of its CA revokes, also a list that has ended:
 * a revocation does not end with it.
 */
export function revokedIn({ chain, bundle, crls }: Credential): Certificate | undefined {
  const authorities = [...chain.slice(1), ...bundle];
  return chain.find((certificate) =>
    authorities
      .filter((issuer) => isIssuedBy(certificate, issuer))
      .some((issuer) => newestOf(issuer, crls?.lists ?? [])?.revokes(certificate)),
  );
}

function newestOf(issuer: Certificate, lists: readonly Crl[]): Crl | undefined {
  return lists
    .filter((list) => list.isOf(issuer))
    .toSorted((one, other) => other.thisUpdate.getTime() - one.thisUpdate.getTime())[0];
}

function termOf(list: Crl | undefined): string {
  return list === undefined ? "" : `${list.thisUpdate.toISOString()} to ${list.nextUpdate.toISOString()}`;
}

function distinct(lists: readonly Crl[]): Crl[] {
  return [...new Map(lists.map((list) => [list.fingerprint, list])).values()];
}
