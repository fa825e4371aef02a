import type { KeyObject } from "node:crypto";
import { assembleCredential } from "../../src/credentials/assemble.ts";
import { type ListedRoots, readCertificates, readRoots } from "../../src/credentials/certificates.ts";
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
export async function readWorkload(
  bytes: { readonly key: Buffer; readonly chain: Buffer },
  now: Date,
): Promise<Workload> {
  const key = parsePrivateKey(bytes.key);
  const certificates = await readCertificates(bytes.chain);
  const { chain } = assembleCredential({ key, certificates, bundle: [], now });
  if (chain[0].x509().checkPrivateKey(key)) return { key, certificates: chain };
  throw new CredentialError("the private key belongs to none of the certificates");
}

/** @throws CredentialError if the bytes, PEM, hold no certificate that can be read. */
export async function readBundle(bytes: Buffer): Promise<ListedRoots> {
  const listed = await readRoots(bytes);
  if (listed.bundle.length === 0) throw new CredentialError("the trust bundle is empty");
  return listed;
}
