import { isDeepStrictEqual } from "node:util";
import { sleepUntil } from "../runtime/timer-queue.ts";
import type { Clock } from "../runtime/clock.ts";
import { assembleCredential } from "../credentials/assemble.ts";
import type { Certificate } from "../credentials/certificate.ts";
import type { ListedRoots } from "../credentials/certificates.ts";
import { isUnder } from "../credentials/path.ts";
import { isSameSpiffeId } from "../credentials/spiffe-id.ts";
import type { Credential } from "../credentials/credential.ts";
import { createCsr } from "../credentials/csr.ts";
import { CredentialError } from "../credentials/errors.ts";
import { generateKey, type KeyType } from "../credentials/keys.ts";
import { union } from "../credentials/trust-bundle.ts";
import { MeshError, type MeshErrorOptions } from "./errors.ts";
import type { LatestValue } from "../runtime/latest-value.ts";
import { type RenewalWindow, renewalTimeOf, rootChangeJitterMs } from "./renewal.ts";
import { unlessAborted } from "../runtime/abort.ts";

export interface IssuanceRequest {
  /** The one URI of the CSR. */
  readonly spiffeId: string;
  /**
   * Asks the mesh to sign; resolves with the leaf and its intermediates in any order. Waits itself while the
   * control plane is unreachable; what it throws ends the issuance.
   * @param csr gives PEM, as of `createCsr`, the same each time. To be called when it can be sent: the key is
   *   made then.
   */
  readonly sign: (csr: () => Promise<string>, signal: AbortSignal) => Promise<readonly Certificate[]>;
  /**
   * Every root that the mesh lists, kept up to date by the adapter, with or without what cannot be read of
   * them, and what the mesh says of revoked certificates; nothing is issued before it has a value.
   */
  readonly roots: LatestValue<readonly Certificate[] | Listed>;
  /** What is published: its leaf is kept for as long as it is good. */
  readonly current?: Credential;
  /** Of each new key; EC P-256 by default. */
  readonly keyType?: KeyType;
  /** 60 to 90 % of the leaf's life by default. */
  readonly window?: RenewalWindow;
  /**
   * Whether those who know only the old root accept a leaf of a new one, because the mesh has cross-signed
   * it; true by default. If not, a leaf outlives the coming of a new root: its successor comes late, when all
   * have the root.
   */
  readonly crossSigns?: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Keeps one identity in credentials for an adapter that signs CSRs: yields one at once, with `current`'s leaf
 * if that is still good under the listed roots, then one for each new leaf and each change of the roots.
 *
 * Each leaf has a new key. It is renewed at {@link renewalTimeOf}, or {@link rootChangeJitterMs} after the
 * mesh lists only roots that it does not lead to, or a new one that is cross-signed and that it does not lead
 * to. Ends only by throwing: the signal's reason on abort, what `sign` throws, or a MeshError
 * (`ATTACHE_MESH_MALFORMED`) if what was signed is of no use.
 */
export function issue(request: IssuanceRequest): AsyncGenerator<Credential, never, undefined> {
  return keepFresh(request, {
    adopted: () => adopted(request),
    signed: () => signed(request),
    underRoots: (held) => underRoots(held, request),
  });
}

type Listed = ListedRoots & Pick<Credential, "crls">;

/** What is held at a time, and how it comes about. */
interface Steps<H extends { readonly renewalTime: Date }> {
  readonly adopted: () => H | undefined;
  readonly signed: () => Promise<H>;
  /** The same one if the roots change nothing of it. */
  readonly underRoots: (held: H) => H;
}

/** The loop of {@link issue}: renews in time, and looks at what is held after each change of the roots. */
export async function* keepFresh<H extends { readonly renewalTime: Date }>(
  { roots, clock, signal }: Pick<IssuanceRequest, "roots" | "clock" | "signal">,
  { adopted, signed, underRoots }: Steps<H>,
): AsyncGenerator<H, never, undefined> {
  const changes = roots.subscribe(signal)[Symbol.asyncIterator]();
  const nextChange = () => {
    const change = changes.next();
    // It is looked at again when nothing else is waited for; an abort in between is no unhandled rejection.
    change.catch(() => undefined);
    return change;
  };
  try {
    await changes.next();
    let held = adopted() ?? (await signed());
    yield held;
    for (let change = nextChange(); ;) {
      if (await comesFirst(change, held.renewalTime, clock, signal)) {
        change = nextChange();
        const next = underRoots(held);
        if (next === held) continue;
        held = next;
      } else held = await signed();
      yield held;
    }
  } finally {
    await changes.return?.();
  }
}

/** Its bundle is what the mesh listed when it was last looked at. */
type Held = Credential & { readonly renewalTime: Date };
type Chained = Pick<Credential, "chain">;

/** `current`, where it is the identity's, has not expired, and leads to a root that is listed now. */
function adopted(request: IssuanceRequest): Held | undefined {
  const { current, spiffeId, roots, window, clock } = request;
  if (current === undefined || !isGood(current, spiffeId, listedIn(roots).bundle, clock.now()))
    return undefined;
  const [leaf] = current.chain;
  return underRoots({ ...current, renewalTime: renewalTimeOf(leaf, leaf.notBefore, window) }, request);
}

function isGood(
  { key, chain }: Credential,
  spiffeId: string,
  listed: readonly Certificate[],
  now: Date,
): boolean {
  const [leaf] = chain;
  return (
    isSameSpiffeId(leaf.uris[0] ?? "", spiffeId) &&
    leaf.notAfter > now &&
    leaf.x509().checkPrivateKey(key) &&
    leadsToAny({ chain }, listed)
  );
}

/**
 * The same leaf with the roots that are listed now. While it leads to none of them, its own stay beside them;
 * then, or if a cross-signed root is new to it, it is replaced soon.
 */
function underRoots(held: Held, { roots, crossSigns = true, clock }: IssuanceRequest): Held {
  const listed = listedIn(roots);
  const isServed = leadsToAny(held, listed.bundle);
  const bundle = union(isServed ? [] : held.bundle, listed.bundle);
  const known = new Set(held.bundle.map(({ fingerprint }) => fingerprint));
  const added = bundle.filter(({ fingerprint }) => !known.has(fingerprint));
  const staysGood = isServed && (!crossSigns || added.every((root) => leadsTo(held, root)));
  const soon = new Date(clock.now().getTime() + rootChangeJitterMs(held.chain[0]));
  const renewalTime = staysGood || held.renewalTime < soon ? held.renewalTime : soon;
  const isSame =
    added.length === 0 &&
    bundle.length === known.size &&
    isDeepStrictEqual(listed.leftOut, held.leftOut ?? []) &&
    isDeepStrictEqual(listed.crls, held.crls) &&
    renewalTime === held.renewalTime;
  if (isSame) return held;
  const { crls: _, ...kept } = held;
  return { ...kept, ...listed, bundle, renewalTime };
}

async function signed({
  spiffeId,
  sign,
  roots,
  keyType,
  window,
  clock,
  signal,
}: IssuanceRequest): Promise<Held> {
  let making: ReturnType<typeof makeRequest> | undefined;
  const made = () => (making ??= makeRequest(spiffeId, keyType));
  try {
    const certificates = await unlessAborted(
      sign(async () => (await made()).csr, signal),
      signal,
    );
    const { key } = await made();
    const now = clock.now();
    const credential = assembleCredential({ key, certificates, ...listedIn(roots), now });
    const [leaf] = credential.chain;
    if (!leaf.x509().checkPrivateKey(key))
      throw malformed("the mesh signed another key than that of the CSR");
    if (leaf.notAfter <= now)
      throw malformed(`the new leaf has expired at ${leaf.notAfter.toISOString()} already`, clocks);
    if (!leadsToAny(credential, credential.bundle))
      throw malformed("the new leaf leads to no root that the mesh lists");
    return { ...credential, renewalTime: renewalTimeOf(leaf, now, window) };
  } catch (error) {
    throw error instanceof CredentialError ? malformed(error.problem, { cause: error }) : error;
  }
}

function listedIn({ value = [] }: IssuanceRequest["roots"]): Listed {
  return "bundle" in value ? value : { bundle: value, leftOut: [] };
}

async function makeRequest(spiffeId: string, keyType: KeyType | undefined) {
  const key = await generateKey(keyType);
  return { key, csr: await createCsr(key, spiffeId) };
}

const clocks = { remedy: "Compare the clock of this machine with that of the control plane." };

function malformed(problem: string, options?: MeshErrorOptions): MeshError {
  return new MeshError("ATTACHE_MESH_MALFORMED", problem, options);
}

function leadsToAny({ chain }: Chained, roots: readonly Certificate[]): boolean {
  return isUnder(chain, roots);
}

/**
 * Every certificate of a chain is the leaf or has signed, directly or not, the leaf: one under the root is
 * enough.
 */
function leadsTo({ chain }: Chained, root: Certificate): boolean {
  return isUnder(chain, [root]);
}

/**
 * Whether something happens before a time. Nothing of the wait stays at `event`, which may be one for many
 * waits.
 */
async function comesFirst(
  event: Promise<unknown>,
  time: Date,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  const over = new AbortController();
  // AbortSignal.any() would leave a weak reference at `signal`, which lives as long as the identity.
  const abort = () => over.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  try {
    const happened = unlessAborted(event, over.signal);
    sleepUntil(time, clock, over.signal).then(
      () => over.abort(due),
      () => undefined,
    );
    await happened;
    return true;
  } catch (error) {
    if (error === due) return false;
    throw error;
  } finally {
    over.abort(due);
    signal.removeEventListener("abort", abort);
  }
}

/** Made once: an error with its stack for each renewal would cost more than the rest of the wait. */
const due = new Error("the time has come");
