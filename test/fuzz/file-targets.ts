import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accessOf } from "../../src/kube/access.ts";
import { fromKubeconfig } from "../../src/kube/kubeconfig.ts";
import { parsePrivateKey } from "../../src/credentials/keys.ts";
import { parseCredential } from "../../src/credentials/assemble.ts";
import { encodePem } from "../../src/credentials/pem.ts";
import { retain } from "../../src/credentials/trust-bundle.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import { readBack } from "../../src/render/read-back.ts";
import { render } from "../../src/render/render.ts";
import { readRootRecord } from "../../src/render/root-record.ts";
import { systemClock as clock } from "../../src/runtime/clock.ts";
import type { Files } from "../../src/store/directory/files.ts";
import type { FileFacts } from "../../src/store/directory/folder-calls.ts";
import { Layout } from "../../src/store/directory/layout.ts";
import { manifestOf, readDocument, writeManifest } from "../../src/store/directory/manifest-file.ts";
import { ObjectFiles } from "../../src/store/directory/object-files.ts";
import { PemSets } from "../../src/store/directory/pem-sets.ts";
import { readStatusFile } from "../../src/store/directory/status-files.ts";
import { identity } from "../fixtures/identity.ts";
import type { Draw } from "./mutate.ts";
import type { Target } from "./run.ts";

const folder = join(import.meta.dirname, "corpus");
const file = (name: string) => readFileSync(join(folder, name));
const storefront = identity();

/** Within the life of the certificates in the corpus. */
const now = new Date("2026-11-30T12:00:00Z");

/** What a restart finds in the folder: everything that is published for one identity, as attaché writes it. */
function published(): readonly Manifest[] {
  const [key, chain, root] = [file("key.der"), file("leaf.der"), file("root.der")];
  const credential = parseCredential({ key, certificates: chain, bundle: root, now });
  const terms = { previouslyRetained: [], published: [], retainMs: 0, now };
  const retention = retain({ listed: credential.bundle, ...terms });
  return render({
    ...{ identity: storefront, credential, retention, revocation: undefined, installation: "attache" },
  });
}

/** A file system in which every file has the same text, and every folder what a PEM set has. */
function filesOf(text: string, draw: Draw): Files {
  const mode = draw(8) === 0 ? 0o644 : 0o600;
  const facts = (kind: FileFacts["kind"]): FileFacts => ({
    ...{ kind, mode, uid: 0, dev: 1, ino: 1, mtimeMs: 1, birthtimeMs: 1, size: text.length },
  });
  const isFile = (path: string) => /\.(?:yaml|json|key|crt|pem)$/.test(path);
  const files: Partial<Files> = {
    lstat: (path) => Promise.resolve(facts(isFile(path) ? "file" : "folder")),
    stat: (path) => Promise.resolve(facts(isFile(path) ? "file" : "folder")),
    list: () => Promise.resolve(["current", "gen-1", text.slice(0, draw(20))].slice(0, 1 + draw(3))),
    readlink: () => Promise.resolve(draw(4) === 0 ? text.slice(0, 20) : "gen-1"),
    read: () => Promise.resolve({ text, facts: facts("file") }),
  };
  return files as Files;
}

/** What lies in the folder of a directory store, and in the Secrets of a cluster: all that a restart reads. */
export const records: Target = {
  samples: [
    ...published().map((manifest) => Buffer.from(writeManifest(manifest))),
    Buffer.from('{"installation":"attache","identity":"uid"}'),
    Buffer.from('[{"fingerprint":"3f"},{"fingerprint":"a1","retireAt":"2027-01-01T00:00:00.000Z"}]'),
    file("status.yaml"),
    file("identities.yaml"),
  ],
  words: [
    ...["&a ", "*a", "<<: *a\n", "? ", "!!binary ", "|\n  ", "---\n", "[".repeat(50), "null", "\t", "\u2028"],
    ...["data: {}\n", "annotations: {}\n", "__proto__: {a: b}\n", '"retireAt":', "9".repeat(30), "kind: "],
  ],
  run: async (input, draw) => {
    const text = input.toString();
    const files = filesOf(text, draw);
    const ports = { files, installation: "attache" };
    await new ObjectFiles(ports).inspect("/store/edge/Secret-storefront-mesh-ca.yaml");
    await new PemSets(ports).inspect("/store/edge/pem-storefront");
    await readStatusFile(storefront, new Layout("/store"), files);
    const found = manifestOf(readDocument(text)?.value);
    const others = published().filter(
      ({ kind, metadata }) => kind !== found?.kind || metadata.name !== found.metadata.name,
    );
    const { credential, bundle } = await readBack(
      storefront,
      found === undefined ? others : [found, ...others],
      now,
    );
    if (credential !== undefined) parsePrivateKey(credential.key.export({ type: "pkcs8", format: "der" }));
    readRootRecord(text, bundle);
  },
};

let scratch: Promise<string> | undefined;

/** For what is read from paths; removed at the end of the process. */
async function scratchFolder(): Promise<string> {
  scratch ??= mkdtemp(join(tmpdir(), "attache-fuzz-"));
  return scratch;
}

process.on("beforeExit", () => {
  const made = scratch;
  scratch = undefined;
  if (made !== undefined) void made.then((path) => rm(path, { recursive: true }));
});

/** A kubeconfig alone, before and behind another one, with the files that it names; no plug-in is run. */
export const kubeconfig: Target = {
  samples: [file("kubeconfig.yaml"), file("kubeconfig-all.yaml")],
  words: [
    ...[
      "&a ",
      "*a",
      "<<: *a\n",
      "? ",
      "!!binary ",
      "|\n  ",
      "---\n",
      "[".repeat(50),
      "{a: ".repeat(30),
      "\t",
    ],
    ...["null", "~", "1e999", "__proto__: {a: b}\n", "current-context: c\n", "users: \n", "tokenFile: .\n"],
    ...["server: ", "https://[::1", "http://", "proxy-url: socks5://\n", "exec: {}\n", "as-groups: x\n"],
  ],
  run: async (input, draw) => {
    const directory = await scratchFolder();
    const [one, other] = [join(directory, "one"), join(directory, "other")];
    await writeFile(one, input);
    await writeFile(other, file("kubeconfig-all.yaml"));
    const lists = [[one], [one, other], [other, one]];
    const context = [undefined, undefined, "c", "with-files", "with-plugin"][draw(5)];
    const principal = await fromKubeconfig(lists[draw(3)] ?? [one], { context, clock });
    await accessOf({ ...principal, plugin: undefined }, clock).authenticate();
  },
};

/** What a credential plug-in prints: YAML or JSON. */
export const execCredential: Target = {
  samples: [
    '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"abc","expirationTimestamp":"2027-01-01T00:00:00Z"}}',
    `kind: ExecCredential\nstatus:\n  clientCertificateData: |\n    ${encodePem("CERTIFICATE", file("leaf.der")).replaceAll("\n", "\n    ")}\n  clientKeyData: x\n`,
  ].map((text) => Buffer.from(text)),
  words: [
    "null",
    "status: ",
    "token: ",
    "{",
    "}",
    "&a ",
    "*a",
    "- ",
    "---\n",
    "!!binary ",
    "[".repeat(50),
    "\t",
  ],
  run: async (input) => {
    const directory = await scratchFolder();
    const answer = join(directory, "answer");
    await writeFile(answer, input);
    const exec = { apiVersion: "client.authentication.k8s.io/v1", command: "/bin/cat", args: [answer] };
    const config = join(directory, "config");
    await writeFile(
      config,
      JSON.stringify({
        "current-context": "c",
        clusters: [{ name: "c", cluster: { server: "https://127.0.0.1:6443" } }],
        contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
        users: [{ name: "u", user: { exec } }],
      }),
    );
    await accessOf(await fromKubeconfig([config], { clock }), clock).authenticate();
  },
};
