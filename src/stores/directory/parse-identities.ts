import type { MeshIdentity } from "../../api/mesh-identity.ts";
import { parseMeshIdentities } from "../../api/parse.ts";
import { DocumentError } from "../../yaml/document-error.ts";
import { StoreError } from "../errors.ts";

/** The MeshIdentities of a file. @throws StoreError ATTACHE_DOCUMENT_INVALID, naming the places in `file`. */
export async function parseIdentities(text: string, file: string): Promise<MeshIdentity[]> {
  try {
    return await parseMeshIdentities(text, file);
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    throw new StoreError("ATTACHE_DOCUMENT_INVALID", error.problem, { cause: error, remedy: error.remedy });
  }
}
