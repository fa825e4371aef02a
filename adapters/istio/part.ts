import type { KeyObject } from "node:crypto";
import { type Certificate, type Credential, CredentialError, MeshError } from "../../src/mesh/adapter.ts";
import { assembleCredential } from "../../src/credentials/assemble.ts";
import { parseCertificates } from "../../src/credentials/certificates.ts";
import { parsePrivateKey } from "../../src/credentials/keys.ts";
import { bundleName, readBundle, readWorkload, workloadName } from "./secret.ts";
import type { DiscoveryResponse } from "./sds-messages.ts";

/** What the agent sends apart from each other, each whole in itself. */
export type Part = WorkloadPart | BundlePart;

export interface WorkloadPart {
  readonly name: typeof workloadName;
  readonly key: KeyObject;
  /** In order, the key's certificate first. */
  readonly chain: Credential["chain"];
}

export interface BundlePart {
  readonly name: typeof bundleName;
  /** Never empty. */
  readonly bundle: readonly Certificate[];
}

export type PartName = Part["name"];
export const partNames: readonly PartName[] = [workloadName, bundleName];

/** @throws MeshError when the answer cannot be used as that part. */
export function readPart(name: PartName, answer: DiscoveryResponse, now: Date): Part {
  try {
    return name === workloadName ? readWorkloadPart(answer, now) : readBundlePart(answer);
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new MeshError("ATTACHE_MESH_MALFORMED", `the secret ${name}: ${cause.problem}`, { cause });
  }
}

function readWorkloadPart(answer: DiscoveryResponse, now: Date): WorkloadPart {
  const bytes = readWorkload(answer);
  const key = parsePrivateKey(bytes.key);
  const certificates = parseCertificates(bytes.chain);
  const { chain } = assembleCredential({ key, certificates, bundle: [], now });
  if (chain[0].x509().checkPrivateKey(key)) return { name: workloadName, key, chain };
  throw new CredentialError("the private key belongs to none of the certificates");
}

function readBundlePart(answer: DiscoveryResponse): BundlePart {
  const bundle = parseCertificates(readBundle(answer));
  if (bundle.length === 0) throw new CredentialError("the trust bundle is empty");
  return { name: bundleName, bundle };
}
