import { describe, expect, it } from "vitest";
import { share } from "../../test/fixtures/cases.ts";
import { stringify } from "yaml";
import { DocumentError } from "../text/yaml/document-error.ts";
import { yamlDocuments } from "../text/yaml/document.ts";
import { parseMeshCertificates } from "./parse.ts";

const header =
  "apiVersion: attache.dev/v1alpha1\nkind: MeshCertificate\nmetadata: { name: web, namespace: edge }\n";

async function problemsOf(text: string): Promise<string[]> {
  try {
    await parseMeshCertificates(text, "a.yaml");
  } catch (error) {
    if (error instanceof DocumentError) return error.problem.split("\n");
    throw error;
  }
  return [];
}

describe("a file of MeshCertificates", () => {
  it("may hold many documents, and objects of other kinds", async () => {
    const text = [
      `${header}spec: { consul: { service: web } }\n`,
      "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\n",
      `${header.replace("web", "api")}spec: { istio: {} }\n`,
      "",
    ].join("---\n");
    const identities = await parseMeshCertificates(text, "a.yaml");
    expect(identities.map(({ metadata }) => metadata.name)).toEqual(["web", "api"]);
  });

  it("of a thousand documents leaves the event loop turns in between", { tags: ["heavy"] }, async () => {
    const document = `${header}spec: { consul: { service: web } }\n`;
    let turns = 0;
    const turn = () => {
      turns += 1;
      next = setImmediate(turn);
    };
    let next = setImmediate(turn);
    await parseMeshCertificates(Array.from({ length: 1_000 }, () => document).join("---\n"), "a.yaml");
    clearImmediate(next);
    expect(turns).toBeGreaterThan(3);
  });

  it("gets every default", async () => {
    const [identity] = await parseMeshCertificates(`${header}spec: { consul: { service: web } }\n`, "a.yaml");
    expect(identity?.spec.target).toEqual({
      adopt: false,
      labels: {},
      tlsContext: { ambassadorId: ["default"] },
    });
  });

  it("lists everything that is wrong at once", async () => {
    const text = `${header}spec: { consul: {} }\n---\n${header}spec: {}\n`;
    expect(await problemsOf(text)).toEqual([
      "a.yaml:4:9 spec.consul.service: is missing; write a string",
      "a.yaml:9:1 spec: exactly one source is needed: write one of consul, istio, spiffe, plugin",
    ]);
  });
});

describe("a MeshCertificate that is wrong is refused with the place and what to write", () => {
  it.each([
    ["a tab", "spec:\n\tconsul: {}\n", "a.yaml:5:1: a tab: YAML is indented with spaces only"],
    [
      "a key that stands twice",
      "spec: { istio: {}, istio: {} }\n",
      "a.yaml:4:20: this key stands here twice: keep one of them",
    ],
    [
      "a misspelt key",
      "spec:\n  consul: { servce: web }\n",
      'a.yaml:5:13 spec.consul.servce: unknown key; did you mean "service"?',
    ],
    [
      "a key that nothing resembles",
      "spec:\n  vault: {}\n  istio: {}\n",
      "a.yaml:5:3 spec.vault: unknown key; known here: mesh, installation, consul, istio, spiffe, plugin, target",
    ],
    [
      "two sources",
      "spec: { istio: {}, consul: { service: web } }\n",
      "a.yaml:4:1 spec: exactly one source is needed: write one of consul, istio, spiffe, plugin",
    ],
    [
      "a plug-in without its mesh",
      "spec: { plugin: {} }\n",
      "a.yaml:4:1 spec: a plug-in's identity needs the name of its mesh: write `mesh: NAME`",
    ],
    [
      "one Secret for both",
      "spec: { istio: {}, target: { secret: a, caSecret: a } }\n",
      "a.yaml:4:20 spec.target: secret and caSecret must differ: Emissary would trust the leaf's own chain",
    ],
    [
      "the default name of the one for the other",
      "spec: { istio: {}, target: { secret: web-mesh-ca } }\n",
      "a.yaml:4:20 spec.target: secret and caSecret must differ: Emissary would trust the leaf's own chain",
    ],
    ["a wrong type", "spec: { istio: {}, mesh: 7 }\n", "a.yaml:4:20 spec.mesh: must be string, not number"],
    [
      "a wrong value",
      "spec: { istio: {}, target: { tlsContext: { minTlsVersion: v2 } } }\n",
      'a.yaml:4:44 spec.target.tlsContext.minTlsVersion: must be one of "v1.0"|"v1.1"|"v1.2"|"v1.3"',
    ],
    [
      "a label that Kubernetes would refuse",
      "spec: { istio: {}, target: { labels: { team: a b } } }\n",
      "a.yaml:4:40 spec.target.labels.team: must be letters, digits, '-', '_' and '.', and begin and end with a letter or digit",
    ],
    ...["a b", "/a", "a/", "a/b/c", "Example.com/a", "-a", "x".repeat(64)].map((key) => [
      `${key} for the key of a label`,
      `spec: { istio: {}, target: { labels: { "${key}": v } } }\n`,
      `a.yaml:4:40 spec.target.labels.${key}: is not a label key: write NAME or DOMAIN/NAME, e.g. "example.com/team"`,
    ]),
    [
      "an alias bomb",
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\nspec: {}\n`,
      "a.yaml:7:17: aliases of aliases that multiply: write the values out",
    ],
    [
      "a bomb of merge keys",
      `a: &a0 { x: 1 }\n${Array.from({ length: 40 }, (_, i) => `b${i}: &a${i + 1} { <<: [*a${i}, *a${i}] }\n`).join("")}`,
      "a.yaml:13:21: aliases of aliases that multiply: write the values out",
    ],
    [
      "an alias within itself",
      "spec: &a { plugin: *a }\n",
      "a.yaml:4:20: an alias of what it stands in: write the values out",
    ],
    [
      "a merge of no mapping",
      "spec: { <<: [x] }\n",
      "a.yaml:4:13: what is merged by << must be a mapping, or a list of mappings",
    ],
    [
      "more than an identity needs",
      `spec: { mesh: m, plugin: { x: "${"y".repeat(70_000)}" } }\n`,
      "a.yaml:1:1: the MeshCertificate is larger than 65536 bytes: shorten it",
    ],
    [
      "more levels than an identity needs",
      `spec: { mesh: m, plugin: ${"{ a: ".repeat(40)}1${" }".repeat(40)} }\n`,
      "a.yaml:1:1: the MeshCertificate is nested more than 32 levels deep: write it flatter",
    ],
    ["too much", `# ${"x".repeat(1024 * 1024)}\n`, "a.yaml: more than 1048576 bytes: split the file"],
  ])("%s", async (_, text, problem) => {
    expect(await problemsOf(header + text)).toContain(problem);
  });

  it("a name that leaves no room for those of the Secrets", async () => {
    const text = `${header.replace("web", "x".repeat(244))}spec: { istio: {} }\n`;
    expect(await problemsOf(text)).toEqual([
      "a.yaml:3:13 metadata.name: the name must have at most 243 characters, so that NAME-mesh-cert is a valid name",
    ]);
    expect(await problemsOf(text.replace("xx", "x"))).toEqual([]);
  });

  it("a wrong version", async () => {
    const text = `${header.replace("v1alpha1", "v1")}spec: { istio: {} }\n`;
    expect(await problemsOf(text)).toEqual(['a.yaml:1:1 apiVersion: must be "attache.dev/v1alpha1"']);
  });

  it("the former name of the kind, but not the kind of this name that Kuma has", async () => {
    const text = `${header.replace("MeshCertificate", "MeshIdentity")}spec: { istio: {} }\n`;
    expect(await problemsOf(text)).toEqual([
      'a.yaml:2:1 kind: is now "MeshCertificate", not "MeshIdentity": rename it',
    ]);
    expect(await problemsOf(text.replace("attache.dev/", "kuma.io/"))).toEqual([]);
  });

  it("what is no object at all", async () => {
    expect((await problemsOf("- 1\n"))[0]).toContain(
      'a.yaml:1:1: is no Kubernetes object; begin it with "apiVersion:',
    );
  });
});

describe("a text that kubectl takes", () => {
  const read = async (text: string) => (await parseMeshCertificates(text, "a.yaml")).map(({ spec }) => spec);
  const web = `${header}spec: { consul: { service: web } }\n`;
  const asJson = (name: string, fields: object = {}) => ({
    apiVersion: "attache.dev/v1alpha1",
    kind: "MeshCertificate",
    metadata: { name },
    spec: { consul: { service: "web" } },
    ...fields,
  });

  it.each([
    ["empty fields", `${header}status:\nspec: { mesh: , consul: { service: web, namespace: ~ }, target: }\n`],
    ["empty metadata", web.replace("namespace: edge", "labels: , annotations: , creationTimestamp: null")],
    ["any status", `${web}status: { conditions: many, later: 1 }\n`],
    ["a list", JSON.stringify({ apiVersion: "v1", kind: "List", items: [asJson("web")] })],
    ["a boolean of YAML 1.1", `${header}spec: { consul: { service: web }, target: { adopt: no } }\n`],
    ["lists in lists", `kind: List\nitems:\n- kind: List\n  items: [${JSON.stringify(asJson("web"))}]\n`],
    [
      "a list of the kind, which says it for its items",
      "apiVersion: attache.dev/v1alpha1\nkind: MeshCertificateList\nitems:\n- { metadata: { name: web }, spec: { consul: { service: web } } }\n",
    ],
    ["merge keys", `${header}spec:\n  <<: { consul: { service: web } }\n`],
    ["JSON with tabs", JSON.stringify(asJson("web"), undefined, "\t")],
    ["a byte order mark and lines of Windows", `\ufeff${web.replaceAll("\n", "\r\n")}`],
  ])("may have %s", async (_, text) => {
    const [plain] = await read(web);
    expect(await read(text)).toEqual([plain]);
  });

  it("may be of several JSON objects, with or without a line between them", async () => {
    const [one, two] = [JSON.stringify(asJson("one{")), JSON.stringify(asJson("two"))];
    expect(await read(two + two)).toHaveLength(2);
    expect((await problemsOf(`${two}\n${one}`))[0]).toMatch(/^a.yaml:2:\d+ metadata.name: must be/);
  });

  it("is no list whose items are none", async () => {
    expect(await problemsOf("apiVersion: v1\nkind: List\nitems: { a: b }\n")).toEqual([
      "a.yaml:3:1 items: must be array: write the objects that are listed",
    ]);
    expect(await problemsOf("apiVersion: v1\nkind: list\nitems: []\n")).toEqual([
      'a.yaml:2:1 kind: unknown kind; did you mean "List"?',
    ]);
  });

  it("names the item of a list that is wrong", async () => {
    const items = [asJson("web"), asJson("api", { spec: {} })];
    expect(await problemsOf(stringify({ kind: "List", items }))).toEqual([
      "a.yaml:14:5 spec: exactly one source is needed: write one of consul, istio, spiffe, plugin",
    ]);
  });

  it.each([
    ["Meshcertificate", 'unknown kind; did you mean "MeshCertificate"?'],
    ["MeshCertificates", 'unknown kind; did you mean "MeshCertificate"?'],
    ["Certificate", 'unknown kind; write "MeshCertificate"'],
  ])("of the kind %s in attaché's group is an error", async (kind, problem) => {
    expect(await problemsOf(web.replace("MeshCertificate", kind))).toEqual([`a.yaml:2:1 kind: ${problem}`]);
    expect(await problemsOf(web.replace("MeshCertificate", kind).replace("attache.dev", "a.dev"))).toEqual(
      [],
    );
  });

  it.each(["utf16le", "latin1"] as const)("that is no UTF-8 is refused by name: %s", async (encoding) => {
    const bytes = Buffer.from(`\ufeff${web}`, "utf16le");
    const text = encoding === "utf16le" ? bytes : bytes.swap16();
    expect(await problemsOf(text.toString("utf8"))).toEqual(["a.yaml: is UTF-16: save it as UTF-8"]);
  });

  it("is read the same wherever it is cut into pieces", { tags: ["search"] }, async () => {
    const text = `${web.replaceAll("\n", "\r\n")}---\r\n${web.replace("edge", '"e\\u0064ge"')}`;
    const expected = await read(text);
    const lengths = Array.from(text, (_, index) => 16_384 - text.length + index);
    for (const length of share(lengths, 8)) {
      expect(await read(`#${"x".repeat(length)}\n${text}`)).toEqual(expected);
    }
  });
});

describe("the fields of the TLSContext that Envoy could refuse", () => {
  const problemsWith = (fields: string) =>
    problemsOf(`${header}spec: { consul: { service: web }, target: { tlsContext: { ${fields} } } }\n`);

  it.each([
    'alpnProtocols: "h2,http/1.1"',
    'alpnProtocols: "h2, http/1.1"',
    'alpnProtocols: ""',
    `alpnProtocols: "${"a".repeat(255)}"`,
    'sni: ""',
    "sni: web_1.Example.org",
    "minTlsVersion: v1.2, maxTlsVersion: v1.2",
    "cipherSuites: [ECDHE-ECDSA-AES128-GCM-SHA256]",
    "ecdhCurves: [P-384, X25519]",
  ])("are accepted: %s", async (fields) => {
    expect(await problemsWith(fields)).toEqual([]);
  });

  it.each([
    ['alpnProtocols: "h2,"', "none empty"],
    ['alpnProtocols: "h2,,http/1.1"', "none empty"],
    [`alpnProtocols: "${"a".repeat(256)}"`, "1 to 255 characters"],
    [`alpnProtocols: "${"a,".repeat(3000)}a"`, "4096"],
    ['alpnProtocols: "h2\\u0000"', "1 to 255 characters"],
    [`sni: ${"a".repeat(254)}`, "253"],
    ['sni: "a\\u0000b"', "must be a host name"],
    ["sni: example.org.", "must be a host name"],
    ["minTlsVersion: v1.3, maxTlsVersion: v1.2", "must not be above maxTlsVersion"],
    ["cipherSuites: [NULL-SHA]", "cipherSuites.0"],
    ["cipherSuites: []", "cipherSuites"],
    ["ecdhCurves: [secp256k1]", "ecdhCurves.0"],
    [`ambassadorId: [${"a, ".repeat(65)}]`, "64"],
  ])("are refused: %s", async (fields, problem) => {
    expect((await problemsWith(fields)).join("\n")).toContain(problem);
  });
});

describe("a document of many tokens", () => {
  const listOf = (count: number) => `kind: List\nitems: [${"{kind: Pod},".repeat(count)}]\n`;

  it("is refused with its place and the limit, wherever it stands, as reading it takes one step", async () => {
    for (const text of [
      listOf(20_000),
      `# one line\n[${"a,".repeat(200_000)}]`,
      `kind: Pod\n---\n${listOf(9_000)}`,
    ])
      await expect(parseMeshCertificates(text, "f")).rejects.toThrow(
        /^ATTACHE_DOCUMENT_INVALID: f:[123]:1: a document of more than 20000 tokens: split it, with "---" between/,
      );
  });

  it.each([
    ["folded", `a: >\n${" x\n".repeat(50_000)}`, "f:2:1"],
    ["plain", `a: ${"x".repeat(131_073)}`, "f:1:4"],
    ["as a key", `${"x".repeat(131_073)}: a`, "f:1:1"],
  ])("is refused with the place of a text that is too long, %s", async (_how, text, place) => {
    await expect(parseMeshCertificates(`---\n${text}`, "f")).rejects.toThrow(
      `a text of more than 131072 characters: no field takes one`,
    );
    await expect(parseMeshCertificates(text, "f")).rejects.toThrow(`${place}: a text of more than`);
  });

  it("is read if it is split into several", { tags: ["heavy"] }, async () => {
    const text = Array.from({ length: 20 }, () => listOf(1_000)).join("---\n");
    expect(await parseMeshCertificates(text, "f")).toEqual([]);
  });

  it("is read in steps of a thousand tokens", { tags: ["heavy"] }, () => {
    const steps = [...yamlDocuments(Array.from({ length: 20 }, () => listOf(1_000)).join("---\n"), "f")];
    expect(steps.filter((document) => document === undefined).length).toBeGreaterThan(100);
    const empty = [...yamlDocuments("---\n".repeat(50_000), "f")];
    expect(empty.filter((document) => document === undefined).length).toBeGreaterThanOrEqual(100);
  });
});
