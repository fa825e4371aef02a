import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { context, DerReader, oidText, tags } from "../../credentials/der.ts";
import { decodePem } from "../../credentials/pem.ts";

/** What a control plane looks at in a CSR. */
interface ReadCsr {
  /** The URI subject alternative names. */
  readonly uris: readonly string[];
  readonly publicKey: KeyObject;
}

const digests: Readonly<Record<string, string>> = {
  "1.2.840.10045.4.3.2": "sha256",
  "1.2.840.10045.4.3.3": "sha384",
  "1.2.840.113549.1.1.11": "sha256",
};

/**
 * Reads a CSR (PEM; PKCS#10, RFC 2986). @throws Error if it is none, or its signature is not that of its key.
 */
export function readCsr(pem: string): ReadCsr {
  const [block] = decodePem(pem);
  if (block?.label !== "CERTIFICATE REQUEST") throw new Error("not a CSR");
  const request = new DerReader(block.der).inside();
  const signed = request.next().whole;
  const algorithm = oidText(request.inside().read(tags.oid));
  const signature = request.read(tags.bitString).subarray(1);

  const info = new DerReader(signed).inside();
  info.read(tags.integer);
  info.read(tags.sequence);
  const publicKey = createPublicKey({ key: info.next().whole, format: "der", type: "spki" });
  if (!verify(digests[algorithm], signed, publicKey, signature)) {
    throw new Error("the signature is not that of the key");
  }
  return { uris: [...urisIn(info.inside(context.constructed(0)))], publicKey };
}

function* urisIn(attributes: DerReader): Generator<string> {
  while (!attributes.isAtEnd) {
    const attribute = attributes.inside();
    if (oidText(attribute.read(tags.oid)) !== "1.2.840.113549.1.9.14") continue;
    for (const extensions = attribute.inside(tags.set).inside(); !extensions.isAtEnd;) {
      const extension = extensions.inside();
      const id = oidText(extension.read(tags.oid));
      extension.optional(tags.boolean);
      const value = new DerReader(extension.read(tags.octetString));
      if (id !== "2.5.29.17") continue;
      for (const names = value.inside(); !names.isAtEnd;) {
        const { tag, body } = names.next();
        if (tag === context.primitive(6)) yield body.toString("latin1");
      }
    }
  }
}
