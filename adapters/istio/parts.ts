import type { KeyObject } from "node:crypto";
import { assembleCredential } from "../../src/credentials/assemble.ts";
import { type ListedRoots, parseCertificates, parseRoots } from "../../src/credentials/certificates.ts";
import type { Crls } from "../../src/credentials/crl.ts";
import { parsePrivateKey } from "../../src/credentials/keys.ts";
import { type Credential, CredentialError } from "../../src/mesh/adapter.ts";

/** What an agent gives apart from each other, each whole in itself; that which has come. No bundle is empty. */
export interface AgentParts extends Partial<ListedRoots> {
  readonly workload?: Workload;
  readonly crls?: Crls;
}

interface Workload {
  readonly key: KeyObject;
  /** In order, the key's certificate first. */
  readonly certificates: Credential["chain"];
}

/** @throws CredentialError if the bytes, PEM, are not a key and its chain. */
export function parseWorkload(bytes: { readonly key: Buffer; readonly chain: Buffer }, now: Date): Workload {
  const key = parsePrivateKey(bytes.key);
  const certificates = parseCertificates(bytes.chain);
  const { chain } = assembleCredential({ key, certificates, bundle: [], now });
  if (chain[0].x509().checkPrivateKey(key)) return { key, certificates: chain };
  throw new CredentialError("the private key belongs to none of the certificates");
}

/** @throws CredentialError if the bytes, PEM, hold no certificate that can be read. */
export function parseBundle(bytes: Buffer): ListedRoots {
  const listed = parseRoots(bytes);
  if (listed.bundle.length === 0) throw new CredentialError("the trust bundle is empty");
  return listed;
}
