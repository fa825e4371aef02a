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

/** Established, and its storage is there: until then a list is answered with 429. */
async function established(admin: Rest, path: string): Promise<void> {
  for (;;) {
    const { spec, status } = await admin.get<Definition>(path);
    const isEstablished = status?.conditions?.some(
      (one) => one.type === "Established" && one.status === "True",
    );
    const lists = spec.versions.map(({ name }) => `/apis/${spec.group}/${name}/${spec.names.plural}?limit=1`);
    const answers =
      isEstablished === true ? await Promise.all(lists.map((list) => admin.call("GET", list))) : [];
    if (answers.length > 0 && answers.every((answer) => answer.status === 200)) return;
  }
}

interface Definition {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string };
    readonly versions: readonly { readonly name: string }[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}
