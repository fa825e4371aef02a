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

/**
 * Puts the files where a running istiod takes notice of them, each whole.
 * @param roots what it is to list; with more or fewer than before, but some in common, it follows while it runs.
 */
export async function plug(
  folder: string,
  { root, intermediate }: PluggedCa,
  roots: readonly PluggedCa[] = [],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const list = roots.length > 0 ? roots.map((ca) => ca.root) : [root];
  const files = {
    "ca-cert.pem": intermediate.pem,
    "ca-key.pem": intermediate.keyPem,
    "cert-chain.pem": intermediate.pem + root.pem,
    "root-cert.pem": list.map(({ pem }) => pem).join(""),
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, `.${name}`), text, { mode: 0o600 });
    await rename(join(folder, `.${name}`), join(folder, name));
  }
}
