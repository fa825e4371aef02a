const filled = (count: number, make: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => make(index));

/** Files of YAML, a megabyte at most, that are meant to be slow to read. */
export function yamlBombs(kind: string): Readonly<Record<string, string>> {
  const identity = (name: string, more = "") =>
    `apiVersion: attache.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: {consul: {service: x}${more}}\n`;
  return {
    aliases: `a: &a [x,x,x,x,x,x,x,x,x]\n${filled(
      20,
      (at) =>
        `a${at}: &b${at} [${Array(9)
          .fill(at > 0 ? `*b${at - 1}` : "*a")
          .join()}]`,
    ).join("\n")}`,
    "50,000 aliases": `a: &a x\nb: [${"*a,".repeat(50_000)}]`,
    "deep flow": "[".repeat(100_000),
    "closed flow": "[".repeat(5_000) + "]".repeat(5_000),
    "deep block": filled(1_400, (at) => `${" ".repeat(at)}a:`).join("\n"),
    "70,000 keys": filled(70_000, (at) => `k${at}: 1`).join("\n"),
    "equal keys": "k: 1\n".repeat(150_000),
    "merge keys": `a: &a {x: 1}\n${filled(20_000, (at) => `b${at}: {<<: *a}`).join("\n")}`,
    "empty documents": "---\n".repeat(250_000),
    comments: "# x\n".repeat(250_000),
    "one long scalar": `a: ${"x".repeat(1_000_000)}`,
    escapes: `a: "${"\\n".repeat(450_000)}"`,
    folded: `a: >\n${" x\n".repeat(300_000)}`,
    anchors: filled(40_000, (at) => `- &x${at} y`).join("\n"),
    tags: filled(40_000, (at) => `- !t${at} y`).join("\n"),
    "an error on each line": "a: b: c\n".repeat(100_000),
    quotes: "'".repeat(900_000),
    directives: `${"%TAG ! x\n".repeat(100_000)}---\na\n`,
    "a long name": identity("a".repeat(900_000)),
    "a name of dots": identity("a.".repeat(450_000)),
    "annotation keys": identity(
      "x",
      `, target: {tlsContext: {annotations: {${filled(40_000, (at) => `a.${at}/x: y`).join()}}}}`,
    ),
    "label keys": identity(
      "x",
      `, target: {labels: {${filled(10_000, (at) => `"not a key of a label/${at}": v`).join()}}}`,
    ),
    "6,000 invalid identities": filled(6_000, (at) => identity(`X${at}`)).join("---\n"),
    "a plug-in 3,000 deep": `apiVersion: attache.dev/v1alpha1\nkind: ${kind}\nmetadata: {name: x}\nspec: {mesh: m, plugin: ${"{a: ".repeat(3_000)}x${"}".repeat(3_000)}}\n`,
  };
}

/** Specs of MeshCertificates that an API server takes, or took before there were bounds. */
export const largeSpecs: Readonly<Record<string, object>> = {
  "an SNI of 1.2 MB": { consul: { service: "x" }, target: { tlsContext: { sni: "s".repeat(1_200_000) } } },
  "30,000 labels": {
    consul: { service: "x" },
    target: {
      labels: Object.fromEntries(
        filled(30_000, (at) => `example.com/label-of-some-length-${at}`).map((key) => [key, "v"]),
      ),
    },
  },
  "30,000 labels of invalid keys": {
    consul: { service: "x" },
    target: {
      labels: Object.fromEntries(
        filled(30_000, (at) => `not a key of a label/${at}`).map((key) => [key, "v"]),
      ),
    },
  },
  "100,000 ambassador IDs": {
    consul: { service: "x" },
    target: { tlsContext: { ambassadorId: filled(100_000, (at) => `i${at}`) } },
  },
  "a plug-in's 100,000 objects": {
    mesh: "p",
    plugin: { x: Array.from({ length: 100_000 }, (_, at) => ({ a: at })) },
  },
};
