import type { Certificate } from "./certificate.ts";

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
   * To be published. A root keeps its place while it stays: no change of order, no write. New ones come first, as Envoy
   * shows the end of the first and of no other: so it is seen that an ingress has taken them.
   */
  readonly bundle: readonly Certificate[];
  /** One for each of `bundle`, in the same order. */
  readonly roots: readonly RootState[];
  /** When a root retires next: ask again then. */
  readonly nextRetireAt?: Date;
}

export interface RetentionInput {
  /** What the mesh lists now. */
  readonly listed: readonly Certificate[];
  /** What was published so far. */
  readonly published: readonly Certificate[];
  /** What was already retiring; a recorded time stands, also when `retainMs` has changed since. */
  readonly previouslyRetained: readonly RetainedRoot[];
  readonly retainMs: number;
  /** Fingerprints of those that must not be retained. */
  readonly distrusted?: readonly string[];
  readonly now: Date;
}

/**
 * A mesh that changes its root faster than they retire must not grow the bundle without end. In DER; with it the
 * largest bundle that the policy `fits-a-secret` admits still fits into a Secret.
 */
export const maxRetainedBytes = 128 * 1024;

/**
 * Which roots to publish: all that are listed, and each that is listed no longer until `retainMs` after it was
 * first seen missing, never past its own end, and not at all if it is distrusted. One that is listed again is active again. Of more than
 * {@link maxRetainedBytes} those that would stay longest are kept.
 */
export function retain({
  listed,
  published,
  previouslyRetained,
  retainMs,
  distrusted = [],
  now,
}: RetentionInput): Retention {
  const active = new Set(listed.map(({ fingerprint }) => fingerprint));
  const recorded = new Map(previouslyRetained.map((root) => [root.certificate.fingerprint, root.retireAt]));
  const previous = previouslyRetained.map(({ certificate }) => certificate);
  const known = new Set([...published, ...previous].map(({ fingerprint }) => fingerprint));
  const added = listed.filter(({ fingerprint }) => !known.has(fingerprint));
  const roots = union(added, published, previous, listed).map((certificate): Root => {
    if (active.has(certificate.fingerprint)) return { certificate };
    const retireAt = recorded.get(certificate.fingerprint) ?? new Date(now.getTime() + retainMs);
    return { certificate, retireAt: earlier(retireAt, certificate.notAfter) };
  });
  const retiring = longest(
    roots
      .filter(({ certificate }) => !distrusted.includes(certificate.fingerprint))
      .filter((root): root is RetainedRoot => root.retireAt !== undefined && root.retireAt > now),
  );
  const kept = roots.filter((root) => root.retireAt === undefined || retiring.some((one) => one === root));
  const next = retiring.at(-1);
  return {
    bundle: kept.map(({ certificate }) => certificate),
    roots: kept.map(stateOf),
    ...(next && { nextRetireAt: next.retireAt }),
  };
}

/** Each certificate once, in the order in which it first comes. */
export function union(...lists: readonly (readonly Certificate[])[]): Certificate[] {
  return [...new Map(lists.flat().map((certificate) => [certificate.fingerprint, certificate])).values()];
}

type Root = Pick<RetainedRoot, "certificate"> & Partial<RetainedRoot>;

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
