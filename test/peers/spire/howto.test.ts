import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { parse, stringify } from "yaml";
import { createRoot } from "../../fixtures/pki.ts";
import { blocksOf } from "../../fixtures/markdown.ts";
import { type Guarded, startGuarded } from "../guarded.ts";
import { cluster } from "../kubernetes/cluster.ts";
import { readPemSet } from "../pem-set.ts";
import { untilServedUnderNewRoot } from "./authority.ts";
import { type Spire, startSpire } from "./spire.ts";
import { startUpstream, type Upstream } from "./upstream.ts";

const repository = join(import.meta.dirname, "../../..");
const blocks = blocksOf(await readFile(join(repository, "docs/howto/spire.md"), "utf8"));

let folder: string;
let spire: Spire;
let upstream: Upstream;
let attache: Guarded | undefined;

/** A machine with SPIRE on which somebody goes through the page: the commands are on the PATH. */
beforeAll(async () => {
  spire = await startSpire();
  upstream = await startUpstream(spire, "web");
  folder = await mkdtemp(join(tmpdir(), "attache-howto-"));
  const main = join(repository, "src/main.ts");
  // Several may run on this machine.
  process.env["ATTACHE_SERVER_LISTEN"] = "127.0.0.1:0";
  await writeCommand(
    "spire-server",
    `"${inject("spire")}/spire-server" "$@" -socketPath "${spire.folder}/server.sock"`,
  );
  await writeCommand("attache", `"${process.execPath}" --conditions=development "${main}" "$@"`);
});

afterAll(async () => {
  await attache?.[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
  await spire[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

describe("docs/howto/spire.md, followed to the letter,", () => {
  it("gives attaché an identity in SPIRE", async () => {
    await run(block("sh", "1."));
    await spire.untilGiven(["spiffe://example.org/edge"]);
  });

  it("lets attaché reach the agent, which the doctor finds as the page shows", async () => {
    await write("attache.yaml", block("yaml", "2."));
    await write("edge.yaml", block("yaml", "3."));
    const { stdout } = await run(block("sh", "2."));
    expect(stdout.trim()).toBe(onThisMachine(block("text", "2.")).trim());
  });

  it("publishes, and says so", async () => {
    const [first, second] = [block("sh", "3."), block("sh", "3.", 1)];
    const command = `cd "${folder}" && PATH="${folder}/bin:$PATH" exec ${first}`;
    attache = startGuarded("bash", ["-c", command]);
    await attache.until(
      () => readPemSet(join(folder, "published"), "emissary", "edge").then(Boolean, () => false),
      "its files",
    );
    const { stdout } = await run(second);
    expect(stdout).toMatch(/edge .*spiffe/);
    expect(stdout).toMatch(/^leaf +spiffe:\/\/example.org\/edge /m);
  });

  it("calls a service with what is published", async () => {
    const { stdout } = await run(block("sh", "4."));
    expect(stdout).toContain("Verify return code: 0 (ok)");
  });

  it("has manifests that a cluster takes", async () => {
    const { kubectl, namespace } = await cluster();
    const own = await namespace();
    const file = async (name: string, text: string) => {
      await write(name, text);
      return join(folder, name);
    };
    const apply = (path: string) =>
      kubectl("apply", "--dry-run=server", "--validate=strict", "-n", own, "-f", path);
    const inOwn = (yaml: string) => yaml.replace("namespace: emissary", `namespace: ${own}`);
    await apply(await file("mapping.yaml", inOwn(block("yaml", "4."))));
    await apply(await file("identity.yaml", inOwn(block("yaml", "3."))));
    const [deployment, patch] = [
      await file("deployment.yaml", stringify(bareDeployment)),
      await file("socket.yaml", block("yaml", "2.", 1)),
    ];
    const patched = await kubectl("patch", "--local", "-f", deployment, "--patch-file", patch, "-o", "yaml");
    expect(parse(patched)).toMatchObject({
      spec: {
        template: {
          spec: { serviceAccountName: "attache", volumes: [{ csi: { driver: "csi.spiffe.io" } }] },
        },
      },
    });
    await apply(await file("patched.yaml", patched));
  });

  it("follows a rotation of SPIRE's CA by hand", async () => {
    const [prepare, activate, revoke] = [0, 1, 2].map((index) =>
      block("sh", "When SPIRE's CA rotates", index),
    );
    await run(prepare ?? "");
    const { active, prepared } = await authorities();
    const named = (text = "") => text.replace("PREPARED", prepared).replace("ACTIVE", active);
    await expect.poll(() => published("root"), slow).toHaveLength(2);
    const [before] = await published("leaf");
    await run(named(activate));
    await expect.poll(() => published("leaf"), slow).not.toEqual([before]);
    await upstream.renew();
    await untilServedUnderNewRoot(spire);
    await run(named(revoke));
    await expect.poll(() => published("root"), slow).toHaveLength(1);
    await upstream.renew();
    const { stdout } = await run(block("sh", "4."));
    expect(stdout).toContain("Verify return code: 0 (ok)");
  });

  it("publishes the roots of another trust domain, too", async () => {
    const partner = await createRoot({ subject: "CN=partner" });
    await write("partner.pem", partner.pem);
    await run("spire-server bundle set -id spiffe://partner.example -path partner.pem");
    await spire.deleteEntries();
    await run(block("sh", "Services of other trust domains"));
    await write("attache.yaml", `${block("yaml", "Services of other trust domains")}${storeSettings()}`);
    await expect.poll(() => published("root"), slow).toContainEqual(expect.stringContaining("partner"));
  });
});

const slow = { timeout: 30_000, interval: 500 };

/** The `index`th block of a language under the heading that begins so. */
function block(language: string, heading: string, index = 0): string {
  const found = blocks.filter((one) => one.language === language && one.heading.startsWith(heading))[index];
  assert.ok(found, `the page has a block ${index} of ${language} under "${heading}…"`);
  return found.text;
}

/** What the page leaves to its reader: addresses, the agents' name, and how attaché's process is told from others. */
function onThisMachine(text: string): string {
  return text
    .replaceAll("unix:///spiffe-workload-api/spire-agent.sock", spire.endpointSocket)
    .replaceAll("spiffe://example.org/ns/spire/sa/spire-agent", "spiffe://example.org/node")
    .replaceAll(
      "-selector k8s:ns:emissary -selector k8s:sa:attache",
      `-selector unix:uid:${process.getuid?.()}`,
    )
    .replaceAll("web.shop:8443", `127.0.0.1:${upstream.port}`);
}

async function run(text: string) {
  const env = { ...process.env, PATH: `${folder}/bin:${process.env["PATH"] ?? ""}`, NO_COLOR: "1" };
  return promisify(execFile)("bash", ["-euo", "pipefail", "-c", onThisMachine(text)], { cwd: folder, env });
}

async function write(name: string, text: string): Promise<void> {
  await writeFile(join(folder, name), onThisMachine(text));
}

async function writeCommand(name: string, command: string): Promise<void> {
  const path = join(folder, "bin", name);
  await mkdir(join(folder, "bin"), { recursive: true });
  await writeFile(path, `#!/bin/sh\nexec ${command}\n`);
  await chmod(path, 0o755);
}

/** Name and serial number of each published certificate in a role. */
async function published(role: "leaf" | "root"): Promise<string[]> {
  const { stdout } = await run("attache inspect edge --config attache.yaml -o wide");
  return stdout.split("\n").filter((line) => line.startsWith(`${role} `));
}

async function authorities(): Promise<Record<"active" | "prepared", string>> {
  const shown = (await spire.json("localauthority", "x509", "show")) as Record<
    string,
    { authority_id: string }
  >;
  return { active: shown["active"]?.authority_id ?? "", prepared: shown["prepared"]?.authority_id ?? "" };
}

/** The part of the settings on the page that is not about meshes. */
function storeSettings(): string {
  const { store } = parse(block("yaml", "2.")) as { store: unknown };
  return stringify({ store });
}

/** What the page takes for granted. */
const bareDeployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "attache" },
  spec: {
    selector: { matchLabels: { app: "attache" } },
    template: {
      metadata: { labels: { app: "attache" } },
      spec: { containers: [{ name: "attache", image: "attache" }] },
    },
  },
};
