import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseMeshCertificates } from "../../../src/api/parse.ts";
import { cluster } from "./cluster.ts";

let folder: string;
let own: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-files-"));
  own = await (await cluster()).namespace();
});
afterAll(() => rm(folder, { recursive: true }));

const header = "apiVersion: attache.dev/v1alpha1\nkind: MeshCertificate\nmetadata: { name: web }\n";
const web = `${header}spec: { consul: { service: web } }\n`;

const object = (name: string) => ({
  apiVersion: "attache.dev/v1alpha1",
  kind: "MeshCertificate",
  metadata: { name },
  spec: { consul: { service: "web" } },
});
const list = (fields: object) => JSON.stringify({ apiVersion: "v1", kind: "List", ...fields });
const withSpec = (spec: string) => `${header}spec: { consul: { service: web }, ${spec} }\n`;

/** What both take, and read the same. */
const taken: Readonly<Record<string, string>> = {
  plain: web,
  "several documents": `---\n# a comment\n---\n---\n${web}...\n---\n${web.replace("name: web", "name: api")}`,
  "an empty status": `${web}status: {}\n`,
  "a null status": `${web}status:\n`,
  "a status": `${web}status: { observedGeneration: 1 }\n`,
  "a null target": withSpec("target: "),
  "an empty target": withSpec("target: {}"),
  "null within the target": withSpec(
    "target: { secret: ~, labels: , tlsContext: { sni: null, ambassadorId: } }",
  ),
  "an empty TLSContext": withSpec("target: { tlsContext: {} }"),
  "a null adopt": withSpec("target: { adopt: }"),
  "a null mesh": withSpec("mesh: "),
  "a null of a label": withSpec("target: { labels: { a: , b: c } }"),
  "null in metadata": web.replace("name: web", "name: web, labels: , annotations: , creationTimestamp: null"),
  "a null finalizer": web.replace("name: web", "name: web, finalizers: , ownerReferences: null"),
  "a second source of null": withSpec("istio: "),
  "null in a plug-in's identity": `${header}spec: { mesh: p, plugin: { a: , b: [null] } }\n`,
  "a list": list({ items: [object("web")] }),
  "a list with metadata": list({ metadata: { resourceVersion: "" }, items: [object("web"), object("api")] }),
  "a list of the kind": JSON.stringify({
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificateList",
    items: [object("web")],
  }),
  "a boolean of YAML 1.1": withSpec("target: { adopt: yes }"),
  "a tag for what it is": `${header}spec: { consul: { service: !!str 010 } }\n`,
  JSON: JSON.stringify(object("web")),
  "JSON with tabs": JSON.stringify(object("web"), undefined, "\t"),
  "JSON after JSON": `${JSON.stringify(object("web"))}\n${JSON.stringify(object("api"))}\n`,
  "a byte order mark": `\ufeff${web}`,
  "lines of Windows": web.replaceAll("\n", "\r\n"),
  "anchors and merge keys": `${header}spec:\n  consul: &a { service: web }\n  target:\n    labels: &l { a: b }\n    tlsContext: { annotations: { <<: *l, c: d } }\n`,
  "an empty namespace": web.replace("name: web", 'name: web, namespace: ""'),
  "half of a surrogate pair": JSON.stringify({
    ...object("web"),
    spec: { consul: { service: "web" }, target: { tlsContext: { annotations: { a: "x\ud800y" } } } },
  }),
};

/** What neither takes. */
const refused: Readonly<Record<string, string>> = {
  "a misspelt kind": web.replace("MeshCertificate", "Meshcertificate"),
  "the plural for the kind": web.replace("MeshCertificate", "MeshCertificates"),
  "another version": web.replace("v1alpha1", "v1"),
  "no version": web.replace("apiVersion: attache.dev/v1alpha1\n", ""),
  "no kind": web.replace("kind: MeshCertificate\n", ""),
  "a null kind": web.replace("kind: MeshCertificate", "kind: "),
  "a null spec": `${header}spec:\n`,
  "a null source": `${header}spec: { istio: }\n`,
  "an unknown field": withSpec("later: 1"),
  "a number for a text": withSpec("mesh: 7"),
  "null in a list": withSpec("target: { tlsContext: { ambassadorId: [null] } }"),
  "text for a list": withSpec("target: { tlsContext: { ambassadorId: default } }"),
  "a list of no items' kind": list({ items: [{ metadata: { name: "web" }, spec: {} }] }),
  "a list of a misspelt kind": JSON.stringify({ apiVersion: "v1", kind: "list", items: [object("web")] }),
  "a list that is none": list({ items: { a: object("web") } }),
  "an identity with items": JSON.stringify({ ...object("web"), items: [] }),
  "half of an object": `${header}spec: { consul: { service: web }\n`,
  "an item that is wrong": list({ items: [object("web"), { ...object("api"), spec: {} }] }),
  "an upper-case name": web.replace("name: web", "name: Web"),
};

describe("a file that kubectl applies", () => {
  it.each(Object.entries(taken))("is read the same: %s", async (_, text) => {
    const { items } = await applied(text);
    const read = await parseMeshCertificates(text, "a.yaml");
    expect(read.map(({ metadata: { name }, spec }) => ({ name, spec }))).toEqual(
      items.map(({ metadata: { name }, spec }) => ({ name, spec })),
    );
  });

  it.each(Object.entries(refused))("is refused as well: %s", async (_, text) => {
    await expect(applied(text)).rejects.toThrow();
    await expect(parseMeshCertificates(text, "a.yaml")).rejects.toThrow("a.yaml:");
  });
});

interface Applied {
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

async function applied(text: string): Promise<{ readonly items: readonly Applied[] }> {
  const file = join(folder, "file.yaml");
  await writeFile(file, text);
  const { kubectl } = await cluster();
  const printed = await kubectl("-n", own, "apply", "--dry-run=server", "-o", "json", "-f", file);
  const one = JSON.parse(printed) as Applied & { readonly items?: readonly Applied[] };
  return { items: one.items ?? [one] };
}
