import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { createSecureContext, type SecureContext } from "node:tls";
import { MeshError } from "../../src/mesh/adapter.ts";

export interface TlsSettings {
  readonly caFile: string | undefined;
  readonly caPath: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly serverName: string | undefined;
  readonly insecureSkipVerify: boolean;
}

/**
 * The CAs that Consul must be signed by, and attaché's client certificate.
 * @throws MeshError if a file cannot be read or used.
 */
export async function secureContext(tls: TlsSettings): Promise<SecureContext> {
  const [ca, cert, key] = await Promise.all([readCas(tls), read(tls.certFile), read(tls.keyFile)]);
  try {
    return createSecureContext({
      // An empty list would trust no CA; without a list, Node's own CAs are trusted.
      ...(ca.length > 0 && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    });
  } catch (cause) {
    const files = [tls.caFile, tls.caPath, tls.certFile, tls.keyFile].filter((file) => file !== undefined);
    // OpenSSL's message names the kind of fault and quotes nothing.
    throw unusable(`OpenSSL does not take ${files.join(", ")}: ${messageOf(cause)}`, cause);
  }
}

async function readCas({ caFile, caPath }: TlsSettings): Promise<string[]> {
  const files = caPath === undefined ? [] : await list(caPath);
  const texts = await Promise.all([caFile, ...files].map(read));
  return texts.filter((text) => text !== undefined);
}

async function list(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    // Mounted ConfigMaps hold links to their files, and a folder `..data`.
    const files = entries.filter((entry) => !entry.isDirectory() && !entry.name.startsWith(".."));
    return files.map(({ name }) => join(folder, name));
  } catch (cause) {
    throw unusable(`the folder ${folder} cannot be read: ${messageOf(cause)}`, cause);
  }
}

async function read(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw unusable(`the file ${path} cannot be read: ${messageOf(cause)}`, cause);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function unusable(problem: string, cause: unknown): MeshError {
  return new MeshError("ATTACHE_MESH_TLS", problem, {
    remedy: "Correct the files under `tls` in the mesh's settings, or the CONSUL_* variables that name them.",
    cause,
  });
}
