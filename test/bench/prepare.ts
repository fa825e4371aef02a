/**
 * `prepare.ts FOLDER COUNT`: makes the credentials, and the MeshCertificates that want them, for a scenario.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createKeys, createLeaf, createRoot } from "../fixtures/pki.ts";
import { uriOf } from "./prepared-mesh.ts";

const [folder = "", count = "0"] = process.argv.slice(2);
/** Keys take longest to make; how many different ones there are does not matter to what is measured. */
const keyPairs = await Promise.all(Array.from({ length: 16 }, () => createKeys("P-256")));
const documentsInAFile = 1_000;

await mkdir(join(folder, "identities"), { recursive: true });
const root = await createRoot();
await writeFile(join(folder, "roots.pem"), root.pem);

let documents: string[] = [];
for (let index = 0; index < Number(count); index += 1) {
  const name = `svc-${index}`;
  for (const version of ["a", "b"]) {
    const keys = keyPairs[(2 * index + version.length) % keyPairs.length];
    const leaf = await createLeaf(root, { uris: [uriOf(name)], ...(keys && { keys }) });
    await writeFile(join(folder, `${name}.${version}.pem`), leaf.keyPem + leaf.pem);
    if (index >= 100) break;
  }
  documents.push(
    `apiVersion: attache.dev/v1alpha1\nkind: MeshCertificate\nmetadata: { name: ${name}, namespace: bench }\nspec: { mesh: bench, plugin: { service: ${name} } }\n`,
  );
  if (documents.length === documentsInAFile || index === Number(count) - 1) {
    await writeFile(join(folder, "identities", `${index}.yaml`), documents.join("---\n"));
    documents = [];
  }
}
