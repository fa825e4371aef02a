import { createHash } from "node:crypto";
import { Certificate } from "./certificate.ts";
import { countElements } from "./der.ts";
import { CredentialError } from "./errors.ts";
import { checkSize, decodePem, type Encoded, isDer } from "./pem.ts";
import { Shared } from "./shared.ts";
import { atOnce, inSlices } from "../runtime/time-slice.ts";
import { type RootRemark, union } from "./trust-bundle.ts";

/** Far above the few that meshes send; a bound on the work that a hostile input makes. */
export const maxCertificates = 512;

/**
 * A leaf has about 60, a root 40: what takes time in a certificate is not its size but how much there is to
 * look at.
 */
const maxElements = 32 * 1024;

/**
 * Every certificate in `inputs`, in their order, duplicates included: PEM with whatever text and other blocks
 * around, or DER certificates one after the other, as the SPIFFE Workload API sends them.
 * @throws CredentialError if anything that should be a certificate is not, or the whole is too large.
 */
export function parseCertificates(...inputs: readonly Encoded[]): Certificate[] {
  return atOnce(certificatesIn(inputs));
}

/** As {@link parseCertificates}, in slices between which the event loop has a turn. */
export async function readCertificates(...inputs: readonly Encoded[]): Promise<Certificate[]> {
  return inSlices(certificatesIn(inputs));
}

/** In steps of one certificate. */
export function* certificatesIn(inputs: readonly Encoded[]): Generator<undefined, Certificate[]> {
  const ders = dersIn(inputs);
  const certificates: Certificate[] = [];
  for (const [index, der] of ders.entries()) {
    yield;
    certificates.push(certificate(der, `certificate ${index + 1} of ${ders.length}`));
  }
  return certificates;
}

/** What a mesh lists as its roots. Each adapter hands both on together, so that what is left out is named. */
export interface ListedRoots {
  /** No certificate twice. */
  readonly bundle: readonly Certificate[];
  /** What OpenSSL cannot read. */
  readonly leftOut: readonly RootRemark[];
}

/**
 * As {@link parseCertificates}, but that one root that cannot be read does not take away the others.
 * @throws CredentialError if none can be read, or the whole is too large.
 */
export function parseRoots(...inputs: readonly Encoded[]): ListedRoots {
  return atOnce(rootsIn(inputs));
}

/** As {@link parseRoots}, in slices between which the event loop has a turn. */
export async function readRoots(...inputs: readonly Encoded[]): Promise<ListedRoots> {
  return inSlices(rootsIn(inputs));
}

/** In steps of one certificate. */
export function* rootsIn(inputs: readonly Encoded[]): Generator<undefined, ListedRoots> {
  const roots: Certificate[] = [];
  const leftOut = new Map<string, RootRemark>();
  const ders = dersIn(inputs);
  for (const [index, der] of ders.entries()) {
    yield;
    const place = `certificate ${index + 1} of ${ders.length}`;
    try {
      roots.push(certificate(der, place));
    } catch (error) {
      if (!(error instanceof CredentialError) || (roots.length === 0 && index === ders.length - 1))
        throw error;
      const fingerprint = createHash("sha256").update(der).digest("hex");
      const message = `A root of the mesh (SHA-256 ${fingerprint.slice(0, 16)}…) is left out: ${error.problem}.`;
      leftOut.set(fingerprint, { fingerprint, reason: "UnreadableByEnvoy", message });
    }
  }
  return { bundle: union(roots), leftOut: [...leftOut.values()] };
}

/**
 * Makes CAs keep all that a verdict asks of them, in slices between which the event loop has a turn: the
 * verdict itself has none.
 */
export async function readThrough(authorities: readonly Certificate[]): Promise<void> {
  await inSlices(readingThrough(authorities));
}

function* readingThrough(authorities: readonly Certificate[]): Generator<unknown, void> {
  for (const authority of authorities) {
    yield authority.profile("authority");
    yield authority.extensions;
  }
}

function dersIn(inputs: readonly Encoded[]): readonly Uint8Array[] {
  checkSize(inputs);
  const ders = inputs.flatMap((input) =>
    isDer(input)
      ? splitDer(input)
      : decodePem(input)
          .filter(({ label }) => label === "CERTIFICATE" || label === "X509 CERTIFICATE")
          .map(({ der }) => der),
  );
  if (ders.length > maxCertificates) {
    throw new CredentialError(`more than ${maxCertificates} certificates`);
  }
  const elements = ders.reduce((sum, der) => sum + countElements(der, maxElements), 0);
  if (elements > maxElements) {
    throw new CredentialError(`certificates with more than ${maxElements} ASN.1 elements in all`);
  }
  return ders;
}

/** Node reads one certificate, so the lengths of DER (X.690, section 8.1.3) tell where the next begins. */
function splitDer(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let rest = bytes;
  while (rest.length > 0 && parts.length <= maxCertificates) {
    const length = sequenceLength(rest);
    parts.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return parts;
}

function sequenceLength(bytes: Uint8Array): number {
  const [tag, first = 0, ...following] = bytes.subarray(0, 5);
  const count = first < 0x80 ? 0 : first - 0x80;
  const length = first < 0x80 ? first : following.slice(0, count).reduce((sum, byte) => sum * 256 + byte, 0);
  const whole = 2 + count + length;
  if (tag !== 0x30 || first === 0x80 || count > 3 || whole > bytes.length) {
    throw new CredentialError("DER that is cut or is no certificate");
  }
  return whole;
}

function certificate(der: Uint8Array, place: string): Certificate {
  try {
    return shared(der);
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new CredentialError(`${place}: ${cause.problem}`, { cause });
  }
}

/** The CAs; leaves do not come twice. */
const authorities = new Shared<Certificate>();

function shared(der: Uint8Array): Certificate {
  return authorities.get(
    der,
    () => new Certificate(der),
    ({ isCa }) => isCa,
  );
}
