import type { MeshCertificate } from "../api/mesh-certificate.ts";
import { assembleCredential } from "../credentials/assemble.ts";
import type { Certificate } from "../credentials/certificate.ts";
import { readCertificates, readThrough } from "../credentials/certificates.ts";
import type { Credential } from "../credentials/credential.ts";
import { parseCrls } from "../credentials/crl.ts";
import { CredentialError } from "../credentials/errors.ts";
import { parsePrivateKey } from "../credentials/keys.ts";
import type { RetainedRoot } from "../credentials/trust-bundle.ts";
import type { Manifest, SecretManifest } from "./manifest.ts";
import { ownershipAnnotations } from "./marks.ts";
import { targetNames } from "./names.ts";
import type { PublishedRevocation } from "./render.ts";
import { readRootRecord } from "./root-record.ts";

/** What a store holds of an identity, understood again. */
export interface Published {
  /** Absent while nothing, or only a part, is published. Its bundle: the roots that were active. */
  readonly credential?: Credential;
  /** Every published root, the retiring ones too. */
  readonly bundle: readonly Certificate[];
  readonly retained: readonly RetainedRoot[];
  readonly revocation: PublishedRevocation;
}

export const nothingPublished: Published = {
  bundle: [],
  retained: [],
  revocation: { lists: [], isChecked: false },
};

/**
 * The inverse of `render()`. What is damaged reads as absent, and so is published again.
 *
 * The leaf Secret may be older than the CA Secret: the process may have ended between the two writes.
 */
export async function readBack(
  identity: MeshCertificate,
  manifests: readonly Manifest[],
  now: Date,
): Promise<Published> {
  if (manifests.length === 0) return nothingPublished;
  const names = targetNames(identity);
  const secret = (name: string) =>
    manifests.find((one): one is SecretManifest => one.kind === "Secret" && one.metadata.name === name);
  const ca = secret(names.caSecret);
  const certificates = (await readable(() => readCertificates(text(ca, "tls.crt")))) ?? [];
  await readThrough(certificates);
  const { active, retained } = readRootRecord(
    ca?.metadata.annotations[ownershipAnnotations.roots],
    certificates,
  );
  const leaf = secret(names.secret);
  const credential = await readable(async () =>
    assembleCredential({
      key: parsePrivateKey(text(leaf, "tls.key")),
      certificates: await readCertificates(text(leaf, "tls.crt")),
      bundle: active,
      now,
    }),
  );
  // In the order in which they stand there: another order would be written again.
  const known = new Set([...active, ...retained.map(({ certificate }) => certificate)]);
  const bundle = certificates.filter((certificate) => known.has(certificate));
  const { lists } = parseCrls(
    text(names.crlSecret === undefined ? undefined : secret(names.crlSecret), "crl.pem"),
  );
  const context = manifests.find(
    (one) => one.kind === "TLSContext" && one.metadata.name === names.tlsContext,
  );
  const isNamed = context?.kind === "TLSContext" && context.spec.crl_secret === names.crlSecret;
  const revocation = { lists, isChecked: isNamed && lists.length > 0 };
  return { ...(credential && { credential }), bundle, retained, revocation };
}

function text(secret: SecretManifest | undefined, key: string): string {
  return Buffer.from(secret?.data[key] ?? "", "base64").toString();
}

async function readable<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof CredentialError) return undefined;
    throw error;
  }
}
