import { readFile } from "node:fs/promises";
import { MeshError } from "../../src/mesh/adapter.ts";

/** Where the ACL token comes from. */
export type TokenSource =
  | { readonly kind: "none" }
  | { readonly kind: "fixed"; readonly token: string }
  | { readonly kind: "file"; readonly path: string };

/**
 * The token as it stands now; `undefined` for none.
 * @throws MeshError if the file cannot be read or holds no token; never quotes it.
 */
export async function readToken(source: TokenSource): Promise<string | undefined> {
  if (source.kind === "none") return undefined;
  const token = (source.kind === "fixed" ? source.token : await readTokenFile(source.path)).trim();
  // Anything else cannot stand in a header, and Node's error would quote it.
  if (/^[!-~]{1,4096}$/.test(token)) return token;
  const place = source.kind === "fixed" ? "the ACL token" : `the token file ${source.path}`;
  throw unusable(`${place} holds ${token === "" ? "nothing" : "something that is no token"}`);
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw unusable(`the token file ${path} cannot be read (${codeOf(cause)})`, cause);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}

function unusable(problem: string, cause?: unknown): MeshError {
  return new MeshError("ATTACHE_MESH_UNAUTHENTICATED", problem, {
    remedy:
      "Put the SecretID of a Consul ACL token there, alone, and let attaché read it; it is read again each time.",
    ...(cause !== undefined && { cause }),
  });
}
