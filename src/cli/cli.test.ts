import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { start } from "../../test/fixtures/cli.ts";
import { command } from "../../test/fixtures/command.ts";
import { systemClock } from "../runtime/clock.ts";
import { startDevelopmentMeshes } from "../demo/development-meshes.ts";
import { makeWorkspace, type Workspace, writeSettings } from "../demo/workspace.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-cli-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function file(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

/** Two development meshes with three identities, and the settings for them. */
async function meshes(): Promise<Workspace & AsyncDisposable> {
  const started = await startDevelopmentMeshes({
    clock: systemClock,
    directory: folder,
    onRoots: () => undefined,
  });
  const workspace = await makeWorkspace(folder);
  await writeSettings(workspace, started.all);
  return { ...workspace, [Symbol.asyncDispose]: () => started[Symbol.asyncDispose]() };
}

describe("the command line", () => {
  it("prints its version, and that of Node", async () => {
    const { status, stdout } = await command("version");
    expect(stdout).toMatch(/^attache \d+\.\d+\.\d+, node \d+/);
    expect(status).toBe(0);
  });

  it("teaches every command", async () => {
    const { stdout } = await command("--help");
    const names = ["run", "demo", "render", "status", "inspect", "crd", "completion", "version"];
    for (const name of names) expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, "m"));
  });

  it("ends with status 2 at an unknown command, and guesses the right one", async () => {
    const { status, stderr } = await command("stauts");
    expect(stderr).toContain("Did you mean status?");
    expect(status).toBe(2);
  });

  it.each([["bash"], ["zsh"], ["fish"]])("completes in %s", async (shell) => {
    const { stdout } = await command("completion", shell);
    expect(stdout).toContain("inspect");
    expect(stdout).toContain("config");
    if (shell === "bash") expect(spawnSync("bash", ["-n"], { input: stdout }).status).toBe(0);
  });

  it(
    "ends quietly with status 0 when the reader of its output closes the pipe",
    { tags: ["process"] },
    async () => {
      await using running = start(["crd"]);
      running.process.stdout?.destroy();
      expect(await running.finished).toEqual({ status: 0, stdout: "", stderr: "" });
    },
  );

  it("names file, line and column of a wrong setting, what is wrong, and where to read on", async () => {
    const config = await file(
      "attache.yaml",
      "meshes:\n  dc1:\n    adapter: consul\n    mode: http\n    adress: 127.0.0.1:8500\n",
    );
    const { status, stderr } = await command("run", "--config", config);
    expect(stderr).toContain(`${config}:5:5 meshes.dc1.adress: unknown key; did you mean "address"?`);
    expect(stderr).toContain("attache explain ATTACHE_DOCUMENT_INVALID");
    expect(status).toBe(2);
  });

  it("names the flag of a wrong setting", async () => {
    const config = await file("attache.yaml", "meshes: {}\n");
    const { stderr } = await command("run", "--config", config, "--set", "log.level=loud");
    expect(stderr).toContain("--set log.level log.level: must be one of");
  });
});

describe("render", { tags: ["heavy"] }, () => {
  it("prints the manifests of every identity, and writes nothing", async () => {
    await using workspace = await meshes();
    const before = await readdir(workspace.published, { recursive: true });
    const { status, stdout, stderr } = await command("render", "--config", workspace.settingsFile);
    expect(stderr).toBe("");
    expect(status).toBe(0);
    const kinds = parseAllDocuments(stdout).map((document) => document.get("kind"));
    expect(kinds.slice(0, 3)).toEqual(["Secret", "Secret", "TLSContext"]);
    expect(kinds).toHaveLength(9);
    expect(await readdir(workspace.published, { recursive: true })).toEqual(before);
  });

  it("prints nothing but the reason when the mesh is unreachable", async () => {
    const config = await file(
      "attache.yaml",
      "meshes: { consul: { adapter: consul, mode: http, address: 'http://127.0.0.1:9' } }\nstore: { directory: { identities: [a.yaml] } }\n",
    );
    await file(
      "a.yaml",
      "apiVersion: attache.dev/v1alpha1\nkind: MeshCertificate\nmetadata: { name: web }\nspec: { consul: { service: web } }\n",
    );
    const { status, stdout, stderr } = await command("render", "--config", config, "--timeout", "3s");
    expect(stdout).toBe("");
    expect(stderr).toContain("default/web: ATTACHE_MESH_UNREACHABLE");
    expect(status).toBe(1);
  });
});

describe("run", { tags: ["process"] }, () => {
  it("publishes, reports, and ends at SIGTERM; status and inspect show it meanwhile", async () => {
    await using workspace = await meshes();
    const config = ["--config", workspace.settingsFile];
    const before = await command("status", ...config);
    expect(before.stdout).toMatch(/emissary\/storefront +consul +NO/);
    expect(before.status).toBe(1);

    await using running = start(["run", ...config]);
    const isPublished = async () => expect((await command("status", ...config)).status).toBe(0);
    await vi.waitFor(isPublished, { interval: 100 });
    const { stdout } = await command("status", ...config, "-o", "wide");
    expect(stdout).toMatch(/^emissary\/edge +istio +yes +- +- +in \d+ s.* Received/m);

    const inspected = await command("inspect", "storefront", ...config);
    expect(inspected.stdout).toMatch(/^leaf +\[.* spiffe:\/\/.*\/svc\/storefront$/m);
    expect(inspected.stdout).toMatch(/^root /m);
    expect(inspected.stdout).toMatch(/^attaché {5}works on /m);
    expect(inspected.stdout).toMatch(/^key {9}EC P-256$/m);
    expect(inspected.stdout).toMatch(/^PUBLISHED\n.*Secret-storefront-mesh-ca.yaml\n/m);
    const json = JSON.parse(
      (await command("inspect", "storefront", ...config, "-o", "json")).stdout,
    ) as object;
    expect(json).toMatchObject({ row: { key: "emissary/storefront" }, keyType: "EC P-256", chain: [{}] });
    expect(JSON.stringify(json)).not.toContain("PRIVATE KEY");
    expect(inspected.stdout + inspected.stderr + running.stderr).not.toContain("PRIVATE KEY");
    const unknown = await command("inspect", "storefrnt", ...config);
    expect(unknown.stderr).toContain("Did you mean storefront?");
    expect(unknown.status).toBe(2);

    const second = await command("run", ...config);
    expect(second.stderr).toContain("ATTACHE_STORE_LOCKED");
    expect(second.status).toBe(3);

    const { address } = JSON.parse(
      running.stderr.split("\n").find((line) => line.includes('"started"')) ?? "",
    ) as {
      address: string;
    };
    expect(await (await fetch(`http://${address}/readyz?verbose`)).text()).toContain("readyz passed");
    expect(await (await fetch(`http://${address}/metrics`)).text()).toContain(
      'attache_mesh_connected{mesh="istio",installation="attache"} 1',
    );

    running.process.kill("SIGTERM");
    expect((await running.finished).status).toBe(0);
  });

  it("takes changed settings at SIGHUP or when it sees them, a log level without a restart, any without a new leaf, and keeps the old ones when the new are wrong", async () => {
    await using workspace = await meshes();
    await using running = start(["run", "--config", workspace.settingsFile]);
    const secret = join(workspace.published, "emissary", "Secret-edge-mesh-ca.yaml");
    await vi.waitFor(() => stat(secret));
    const good = await readFile(workspace.settingsFile, "utf8");
    const { meshes: configured } = parse(good) as { meshes: { consul: { addresses: [string] } } };
    const lines = () => running.stderr.split("\n");
    const wrong = {
      "unknown key": `${good}nonsense: true\n`,
      // Known to be wrong by the adapter only, and a port that only shows to be taken.
      "meshes.consul.adresses": good.replace("addresses:", "adresses:"),
      ATTACHE_SERVER_LISTEN: good.replace("127.0.0.1:0", new URL(configured.consul.addresses[0]).host),
    };
    const { address } = JSON.parse(lines().find((line) => line.includes('"started"')) ?? "") as {
      address: string;
    };
    for (const [reason, text] of Object.entries(wrong)) {
      await writeFile(workspace.settingsFile, text);
      // One of them is seen without a signal, too.
      if (reason !== "unknown key") running.process.kill("SIGHUP");
      const isReported = (line: string) =>
        line.includes(reason) && line.includes("the old ones stay in force");
      await vi.waitUntil(() => lines().some(isReported), 10_000);
      // The last one has made it listen on another port.
      if (reason === "ATTACHE_SERVER_LISTEN") continue;
      const page = await (await fetch(`http://${address}/readyz?verbose`)).text();
      expect(page).toMatch(/^\[!\] settings: refused at \S+Z, ATTACHE_\w+; the old ones stay in force$/m);
    }
    const before = await stat(secret);
    const starts = () => lines().filter((line) => line.includes('"id":"Started"')).length;
    const startsBefore = starts();
    await writeFile(workspace.settingsFile, `${good}log: { level: debug }\n`);
    running.process.kill("SIGHUP");
    await vi.waitUntil(() => lines().some((line) => line.includes('"id":"LevelChanged"')), 10_000);
    expect(starts()).toBe(startsBefore);
    await writeFile(workspace.settingsFile, good.replace("listen: 127.0.0.1:0", "enabled: false"));
    running.process.kill("SIGHUP");
    const isRestarted = (line: string) => line.includes('"started"') && !line.includes("address");
    await vi.waitUntil(() => lines().some(isRestarted), 10_000);
    expect((await stat(secret)).ino).toBe(before.ino);
  });

  it.each([
    ["an adapter hangs", "await new Promise(() => undefined);"],
    // `process.exit` waits for the thread that reads.
    ["a thread hangs in a file", 'void readFile("fifo");'],
  ])("ends although %s, and says so", { tags: ["thorough"] }, async (_, hang) => {
    spawnSync("mkfifo", [join(folder, "fifo")]);
    const plugin = join(folder, "node_modules/hang");
    await mkdir(plugin, { recursive: true });
    await symlink(join(import.meta.dirname, "../../node_modules/zod"), join(folder, "node_modules/zod"));
    await writeFile(
      join(plugin, "package.json"),
      '{ "name": "hang", "type": "module", "exports": "./index.js" }',
    );
    await writeFile(
      join(plugin, "index.js"),
      hangingAdapter.replace("HANG", hang.replace("fifo", join(folder, "fifo"))),
    );
    const config = await file(
      "attache.yaml",
      "meshes: { m: { adapter: hang } }\nserver: { enabled: false }\nstore: { directory: { identities: [a.yaml] } }\n",
    );
    await file(
      "a.yaml",
      "apiVersion: attache.dev/v1alpha1\nkind: MeshCertificate\nmetadata: { name: a }\nspec: { mesh: m, plugin: {} }\n",
    );
    await using running = start(["run", "--config", config]);
    await vi.waitUntil(() => running.stderr.includes("connected to mesh"), 15_000);
    running.process.kill("SIGTERM");
    const { status, stderr } = await running.finished;
    expect(stderr).toContain("did not end within");
    expect(status).toBe(1);
  });
});

const hangingAdapter = `
import { readFile } from "node:fs/promises";
import { z } from "zod";
export const adapter = {
  kind: "hang",
  settings: z.strictObject({}),
  identity: z.strictObject({}),
  defaults: { retainMs: 0 },
  expected: () => "spiffe://**",
  async connect(_, { connection }) {
    connection({ connected: true });
    return {
      async *watch() { await new Promise(() => setInterval(() => undefined, 1000)); },
      check: () => Promise.resolve([]),
      async [Symbol.asyncDispose]() { HANG },
    };
  },
};
`;
