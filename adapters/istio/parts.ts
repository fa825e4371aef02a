import type { KeyObject } from "node:crypto";
import { assembleCredential } from "../../src/credentials/assemble.ts";
import { parseCertificates } from "../../src/credentials/certificates.ts";
import { parsePrivateKey } from "../../src/credentials/keys.ts";
import { type Certificate, type Credential, CredentialError } from "../../src/mesh/adapter.ts";
import { expectedRenewal } from "../../src/mesh/kit/agent-renewal.ts";

/** What an agent gives apart from each other, each whole in itself; that which has come. */
export interface Parts {
  readonly workload?: Workload;
  /** Never empty. */
  readonly bundle?: readonly Certificate[];
}

interface Workload {
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

/** Makes one credential of what came in parts, in whatever order; `undefined` while one of the two has not come. */
export function merge({ workload, bundle }: Parts, now: Date): Credential | undefined {
  if (workload === undefined || bundle === undefined) return undefined;
  const { key, chain } = workload;
  const renewalTime = expectedRenewal(chain[0]);
  return assembleCredential({ key, certificates: chain, bundle, renewalTime, now });
}
