import "reflect-metadata";
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from "@peculiar/x509";
import { createPublicKey, type KeyObject } from "node:crypto";

/** What a control plane looks at in a CSR. */
interface ReadCsr {
  /** The URI subject alternative names. */
  readonly uris: readonly string[];
  readonly publicKey: KeyObject;
}

/** Reads a CSR (PEM) with a library that attaché's own were not made with. @throws Error if it is none, or not its key's. */
export async function readCsr(pem: string): Promise<ReadCsr> {
  const csr = new Pkcs10CertificateRequest(pem);
  if (!(await csr.verify())) throw new Error("the signature is not that of the key");
  const extension = csr.extensions.find((one) => one instanceof SubjectAlternativeNameExtension);
  const names = extension?.names.items ?? [];
  return {
    uris: names.filter(({ type }) => type === "url").map(({ value }) => value),
    publicKey: createPublicKey({ key: Buffer.from(csr.publicKey.rawData), format: "der", type: "spki" }),
  };
}
