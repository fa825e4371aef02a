import type { KeyObject } from "node:crypto";
import { type Certificate, CredentialError, MeshError } from "../../src/mesh/adapter.ts";
import { parseCertificates } from "../../src/credentials/certificates.ts";
import { parsePrivateKey } from "../../src/credentials/keys.ts";
import { bundleName, readBundle, readWorkload, workloadName } from "./secret.ts";
import type { DiscoveryResponse } from "./sds-messages.ts";

/** What the agent sends apart from each other, each whole in itself. */
export type Part = WorkloadPart | BundlePart;

export interface WorkloadPart {
  readonly name: typeof workloadName;
  readonly key: KeyObject;
  /** The certificate of the key. */
  readonly leaf: Certificate;
  /** The leaf and all that came with it; the Istio agent sends the roots too. */
  readonly certificates: readonly Certificate[];
}

export interface BundlePart {
  readonly name: typeof bundleName;
  /** Never empty. */
  readonly bundle: readonly Certificate[];
}

export type PartName = Part["name"];
export const partNames: readonly PartName[] = [workloadName, bundleName];

/** @throws MeshError when the answer cannot be used as that part. */
export function readPart(name: PartName, answer: DiscoveryResponse): Part {
  try {
    return name === workloadName ? readWorkloadPart(answer) : readBundlePart(answer);
  } catch (cause) {
    if (!(cause instanceof CredentialError)) throw cause;
    throw new MeshError("ATTACHE_MESH_MALFORMED", `the secret ${name}: ${cause.problem}`, { cause });
  }
}

function readWorkloadPart(answer: DiscoveryResponse): WorkloadPart {
  const { key: keyBytes, chain } = readWorkload(answer);
  const key = parsePrivateKey(keyBytes);
  const certificates = parseCertificates(chain);
  const leaf = certificates.find((certificate) => certificate.x509().checkPrivateKey(key));
  if (leaf === undefined) throw new CredentialError("the private key belongs to none of the certificates");
  return { name: workloadName, key, leaf, certificates };
}

function readBundlePart(answer: DiscoveryResponse): BundlePart {
  const bundle = parseCertificates(readBundle(answer));
  if (bundle.length === 0) throw new CredentialError("the trust bundle is empty");
  return { name: bundleName, bundle };
}
