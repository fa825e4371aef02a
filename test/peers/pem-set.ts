import { readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { ClientPems } from "./mtls.ts";

/**
 * The PEM set of an identity in a directory store's folder: once through the link, and then by what it leads
 * to, so that key, chain and roots belong together. Rejects while there is none.
 */
export async function readPemSet(published: string, namespace: string, context: string): Promise<ClientPems> {
  const set = join(published, namespace, `pem-${context}`);
  const generation = await readlink(join(set, "current"));
  const read = (name: string) => readFile(join(set, generation, name), "utf8");
  return { key: await read("tls.key"), chain: await read("tls.crt"), roots: await read("ca.crt") };
}
