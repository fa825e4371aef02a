import assert from "node:assert/strict";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createIntermediate, createRoot, type Issued } from "../../fixtures/pki.ts";

/** A CA that an operator has plugged in (the Secret `cacerts`): istiod signs with the intermediate. */
export interface PluggedCa {
  readonly root: Issued;
  readonly intermediate: Issued;
}

export async function createCa(name: string): Promise<PluggedCa> {
  const root = await createRoot({ subject: `CN=${name} root` });
  return { root, intermediate: await createIntermediate(root, { subject: `CN=${name} intermediate` }) };
}

/** What an istiod with these CAs tells every proxy to trust. */
export function rootsPem(cas: readonly PluggedCa[]): string {
  return cas.map(({ root }) => root.pem).join("");
}

/** As an operator gives them to istiod, in the Secret `cacerts`; the last CA signs. */
export function filesOf(cas: readonly PluggedCa[]): Readonly<Record<string, string>> {
  const signer = cas.at(-1);
  assert.ok(signer, "there is a CA");
  const { root, intermediate } = signer;
  return {
    "ca-cert.pem": intermediate.pem,
    "ca-key.pem": intermediate.keyPem,
    "cert-chain.pem": intermediate.pem + root.pem,
    "root-cert.pem": rootsPem(cas),
  };
}

/** Puts the files where a running istiod takes notice of them, each whole. */
export async function plug(folder: string, cas: readonly PluggedCa[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(filesOf(cas))) await put(folder, name, text);
}

/** Puts one file there, whole. */
export async function put(folder: string, name: string, text: string): Promise<void> {
  await writeFile(join(folder, `.${name}`), text, { mode: 0o600 });
  await rename(join(folder, `.${name}`), join(folder, name));
}
