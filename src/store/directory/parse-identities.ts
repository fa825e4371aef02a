import type { MeshCertificate } from "../../api/mesh-certificate.ts";
import { parseMeshCertificates } from "../../api/parse.ts";
import { DocumentError } from "../../text/yaml/document-error.ts";
import { StoreError } from "../errors.ts";

/** The MeshCertificates of a file. @throws StoreError ATTACHE_DOCUMENT_INVALID, naming the places in `file`. */
export async function parseIdentities(text: string, file: string): Promise<MeshCertificate[]> {
  try {
    return await parseMeshCertificates(text, file);
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    throw new StoreError("ATTACHE_DOCUMENT_INVALID", error.problem, { cause: error, remedy: error.remedy });
  }
}
