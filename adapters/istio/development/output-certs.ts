import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DataSource, Secret } from "../proto/sds.pb.ts";

/** Writes a secret to `folder` as the Istio agent does with `OUTPUT_CERTS`: each file whole, the set not. */
export async function outputCerts(
  folder: string,
  { tlsCertificate, validationContext }: Secret,
): Promise<void> {
  await write(folder, "key.pem", tlsCertificate?.privateKey);
  await write(folder, "cert-chain.pem", tlsCertificate?.certificateChain);
  await write(folder, "root-cert.pem", validationContext?.trustedCa);
}

async function write(folder: string, name: string, source: DataSource | null | undefined): Promise<void> {
  if (source?.inlineBytes === undefined) return;
  const temporary = join(folder, `.${name}.tmp`);
  await writeFile(temporary, source.inlineBytes, { mode: 0o600 });
  await rename(temporary, join(folder, name));
}
