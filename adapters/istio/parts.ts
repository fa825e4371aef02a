import type { KeyObject } from "node:crypto";
import { assembleCredential } from "../../src/credentials/assemble.ts";
import { parseCertificates } from "../../src/credentials/certificates.ts";
import { parsePrivateKey } from "../../src/credentials/keys.ts";
import { pathProblem } from "../../src/credentials/path.ts";
import { type Certificate, type Credential, CredentialError } from "../../src/mesh/adapter.ts";
import { expectedRenewal } from "../../src/mesh/agent-renewal.ts";

/** What an agent gives apart from each other, each whole in itself; that which has come. */
export interface Parts {
  readonly workload?: Workload;
  /** Never empty. */
  readonly bundle?: readonly Certificate[];
}

export interface Workload {
  readonly key: KeyObject;
  /** In order, the key's certificate first. */
  readonly chain: Credential["chain"];
}

/** @throws CredentialError if the bytes, PEM, are not a key and its chain. */
export function parseWorkload(bytes: { readonly key: Buffer; readonly chain: Buffer }, now: Date): Workload {
  const key = parsePrivateKey(bytes.key);
  const certificates = parseCertificates(bytes.chain);
  const { chain } = assembleCredential({ key, certificates, bundle: [], now });
  if (chain[0].x509().checkPrivateKey(key)) return { key, chain };
  throw new CredentialError("the private key belongs to none of the certificates");
}

/** @throws CredentialError if the bytes, PEM, are no certificates. */
export function parseBundle(bytes: Buffer): readonly Certificate[] {
  const bundle = parseCertificates(bytes);
  if (bundle.length === 0) throw new CredentialError("the trust bundle is empty");
  return bundle;
}

export type Merged =
  /** One of the two has not come yet. */
  | { readonly kind: "partial" }
  /** The chain does not lead to the bundle: the other part of a change may be on its way. */
  | { readonly kind: "torn"; readonly credential: Credential; readonly problem: string }
  | { readonly kind: "whole"; readonly credential: Credential };

/** Makes one credential of what came in parts, in whatever order. */
export function merge({ workload, bundle }: Parts, now: Date): Merged {
  if (workload === undefined || bundle === undefined) return { kind: "partial" };
  const { key, chain } = workload;
  const renewalTime = expectedRenewal(chain[0]);
  const credential = assembleCredential({ key, certificates: chain, bundle, renewalTime, now });
  const problem = pathProblem(credential.chain, credential.bundle, { now, clockSkewMs: anyAge });
  return problem === undefined ? { kind: "whole", credential } : { kind: "torn", credential, problem };
}

/** Whether a certificate is current is for attaché's policies to say; it says nothing of what belongs together. */
const anyAge = Infinity;

/** Whether two credentials publish the same; a key is that of its leaf. */
export function isSame(one: Credential, other: Credential): boolean {
  const printsOf = (credential: Credential) => [
    ...credential.chain.map(({ fingerprint }) => fingerprint),
    ...credential.bundle.map(({ fingerprint }) => fingerprint).sort(),
  ];
  return printsOf(one).join() === printsOf(other).join();
}
