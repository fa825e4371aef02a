import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { identityRules, specRules } from "../src/api/rules.ts";
import { codes } from "../src/errors/codes.ts";
import { generated } from "./generators/generated.ts";

const files = generated();

describe("generated files", () => {
  it.each([...files])("%s is what `npm run generate` writes", async (path, text) => {
    expect(await readFile(join(import.meta.dirname, "..", path), "utf8")).toBe(text);
  });
});

interface Node {
  readonly type?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly additionalProperties?: Node;
  readonly "x-kubernetes-validations"?: readonly { readonly rule: string; readonly message: string }[];
}

function crdSchema(): Node {
  const text = files.get("deploy/crds/attache.dev_meshcertificates.yaml") ?? "";
  const { spec } = parse(text) as { spec: { versions: { schema: { openAPIV3Schema: Node } }[] } };
  return spec.versions[0]?.schema.openAPIV3Schema ?? {};
}

function nodesOf(node: Node, path = ""): [string, Node][] {
  const inner = [
    ...Object.entries(node.properties ?? {}),
    ...(node.items ? ([["[]", node.items]] as const) : []),
    ...(node.additionalProperties ? ([["{}", node.additionalProperties]] as const) : []),
  ];
  return [[path, node], ...inner.flatMap(([name, one]) => nodesOf(one, `${path}.${name}`))];
}

describe("the CRD", () => {
  it("is structural: every node has a type, and none has properties beside additionalProperties", () => {
    for (const [path, node] of nodesOf(crdSchema())) {
      expect(node.type, path).toBeTypeOf("string");
      expect(node.properties !== undefined && node.additionalProperties !== undefined, path).toBe(false);
      expect(Object.keys(node), path).not.toContain("const");
    }
  });

  it("has each rule between fields, in the words of the schema", () => {
    const schema = crdSchema();
    const validations = [schema, schema.properties?.["spec"]].map(
      (node) => node?.["x-kubernetes-validations"],
    );
    const expected = [identityRules, specRules].map((rules) =>
      rules.map(({ cel, message }) => ({ rule: cel, message })),
    );
    expect(validations).toEqual(expected);
  });
});

describe("the registry of errors", () => {
  it.each(Object.entries(codes))("%s has a meaning, a remedy and a section", (code, { meaning, remedy }) => {
    expect(meaning).toMatch(/^\S.*\.$/);
    expect(remedy).toMatch(/^[A-Z].*\.$/);
    expect(files.get("docs/errors.md")).toContain(`\n## ${code}\n`);
  });
});
