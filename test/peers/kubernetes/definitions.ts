import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import type { Resource, Rest } from "./rest.ts";

const ours = join(import.meta.dirname, "../../../deploy/crds");

/** Applies our CRDs and Emissary's (emissary-crds.yaml), and waits until the API server serves them. */
export async function installDefinitions(admin: Rest): Promise<void> {
  const files = (await readdir(ours)).map((name) => join(ours, name));
  for (const file of [...files, join(import.meta.dirname, "emissary-crds.yaml")]) {
    await applyDefinitions(admin, await readFile(file, "utf8"));
  }
}

/** As {@link installDefinitions}, of a YAML text with CRDs. */
export async function applyDefinitions(admin: Rest, yaml: string): Promise<void> {
  const definitions = parseAllDocuments(yaml).map((document) => document.toJS() as Resource);
  const paths = definitions.map(
    ({ metadata }) => `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`,
  );
  for (const [i, path] of paths.entries()) await admin.apply(path, definitions[i] ?? {});
  for (const path of paths) await established(admin, path);
}

async function established(admin: Rest, path: string): Promise<void> {
  for (;;) {
    const { status } = await admin.get<{ status?: { conditions?: { type: string; status: string }[] } }>(
      path,
    );
    if (
      status?.conditions?.some(({ type, status }) => type === "Established" && status === "True") === true
    ) {
      return;
    }
  }
}
