import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WriteStream } from "node:tty";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parse, stringify } from "yaml";
import { start } from "../../test/fixtures/cli.ts";
import { command } from "../../test/fixtures/command.ts";
import { createDirectory, type Directory, declared, written } from "../../test/fixtures/directory.ts";
import type { MeshCertificate } from "../api/mesh-certificate.ts";
import type { DirectoryStore } from "../store/directory/directory-store.ts";
import type { Condition } from "../api/status.ts";
import { program } from "./program.ts";

let directory: Directory;
let config: string;
/** The store of an attaché that works. */
let running: DirectoryStore;

beforeEach(async () => {
  directory = await createDirectory();
  config = join(directory.root, "attache.yaml");
  await writeFile(config, "{}\n");
  await directory.write("a.yaml", [written("emissary/storefront"), written("emissary/billing")]);
  running = await directory.open();
});

afterEach(async () => {
  await running[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** Reports in place of an attaché. */
async function report(
  identity: MeshCertificate,
  ready: Condition["status"],
  notAfter: string,
  ...others: readonly Omit<Condition, "lastTransitionTime">[]
): Promise<void> {
  const condition = { status: ready, lastTransitionTime: "2026-01-01T00:00:00.000Z" };
  await running.report(identity, {
    conditions: [
      { ...condition, type: "Ready", reason: "Valid", message: "The leaf is valid." },
      ...others.map((other) => ({ ...condition, ...other })),
    ],
    spiffeId: "spiffe://example.org/edge",
    notAfter,
  });
}

const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
const commands = program().commands.map((one) => one.name());

describe("status", () => {
  it("is 0 when all are ready, and 1 when one is not", async () => {
    await report(declared("storefront"), "True", tomorrow);
    await report(declared("billing"), "False", tomorrow);
    const all = await command("status", "-c", config);
    expect(all.stdout).toMatch(/^emissary\/billing +consul +NO +- +- +in 23 h +- +spiffe:/m);
    expect(all.stdout).toContain("emissary/billing Ready: The leaf is valid.");
    expect(all.status).toBe(1);
    expect((await command("status", "-c", config, "storefront")).status).toBe(0);
  });

  it.each([
    ["Exposed", "EXPOSED", 1],
    ["Frozen", "FROZEN", 1],
    ["NotTaken", "NotTaken", 0],
  ])("says loudly what the ingress makes of it: %s", async (reason, shown, exit) => {
    const served = { type: "Served", status: "False", reason, message: "Look." } as const;
    await report(declared("storefront"), "True", tomorrow, served);
    const { status, stdout } = await command("status", "-c", config, "storefront");
    expect(stdout).toMatch(new RegExp(`^emissary/storefront .* ${shown} +- +in 23 h +- +spiffe:`, "m"));
    expect(stdout).toContain("emissary/storefront Served: Look.");
    expect(status).toBe(exit);
  });

  it("is 1 when no attaché works on the folder, and says so before all else", async () => {
    await report(declared("storefront"), "True", tomorrow);
    expect((await command("status", "-c", config, "storefront")).status).toBe(0);
    await running[Symbol.asyncDispose]();
    const { status, stdout } = await command("status", "-c", config, "storefront");
    expect(stdout).toContain(`attaché     does not work: no process has ${directory.path} open`);
    expect(status).toBe(1);
  });

  it("is 1 when a leaf has expired by this clock, whatever attaché reported last", async () => {
    await report(declared("storefront"), "True", "2026-01-01T00:00:00.000Z");
    const { status, stdout } = await command("status", "-c", config, "emissary/storefront");
    expect(stdout).toContain("the leaf has expired; is attaché running?");
    expect(status).toBe(1);
  });

  it("is for machines as JSON and as YAML, which say the same, and for wide terminals", async () => {
    await report(declared("storefront"), "True", tomorrow);
    const json = await command("status", "-c", config, "-o", "json");
    const data: unknown = JSON.parse(json.stdout);
    expect(data).toMatchObject({
      kind: "List",
      attache: [{ status: "ok" }],
      items: [
        { metadata: { name: "billing" } },
        { metadata: { name: "storefront" }, status: { notAfter: tomorrow } },
      ],
    });
    expect(parse((await command("status", "-c", config, "-o", "yaml")).stdout)).toEqual(data);
    const { stdout } = await command("status", "-c", config, "-o", "wide");
    expect(stdout).toMatch(
      /^IDENTITY +MESH +READY +SERVED +PROTECTED +ENDS +AGE +SPIFFE ID +SOURCE .* ROOTS$/m,
    );
  });

  it.each([
    ["name", "meshcertificate.attache.dev/billing\nmeshcertificate.attache.dev/storefront\n"],
    ["jsonpath={.items[*].metadata.name}", "billing storefront"],
    ['jsonpath={.items[?(@.metadata.name=="storefront")].status.notAfter}', tomorrow],
  ])("is for scripts with -o %s", async (output, printed) => {
    await report(declared("storefront"), "True", tomorrow);
    expect((await command("status", "-c", config, "-o", output)).stdout).toBe(printed);
  });

  it("prints only rows with --no-headers", async () => {
    const { stdout } = await command("status", "-c", config, "--no-headers");
    expect(stdout).toMatch(/^emissary\/billing .*\nemissary\/storefront .*\n$/);
  });

  it("selects by labels, and says when none has them", async () => {
    const labelled = { ...written("emissary/api") };
    await directory.write("b.yaml", [
      { ...labelled, metadata: { ...labelled.metadata, labels: { team: "edge" } } },
    ]);
    const names = async (...flags: string[]) =>
      (await command("status", "-c", config, "-o", "jsonpath={.items[*].metadata.name}", ...flags)).stdout;
    expect(await names("-l", "team=edge")).toBe("api");
    expect(await names("-l", "team notin (edge)")).toBe("billing storefront");
    const { stderr, status } = await command("status", "-c", config, "-l", "team=shop");
    expect(stderr).toContain("There is no MeshCertificate with the labels team=shop in");
    expect(status).toBe(0);
  });

  it("shows what is orphaned, and what is unused", async () => {
    const orphaned = { type: "Ready", status: "False", reason: "Orphaned", message: "No attaché." } as const;
    const unused = { type: "Served", status: "True", reason: "Unused", message: "" } as const;
    await running.report(declared("storefront"), {
      conditions: [orphaned, unused].map((one) => ({ ...one, lastTransitionTime: tomorrow })),
    });
    const { stdout } = await command("status", "-c", config, "storefront");
    expect(stdout).toMatch(/^emissary\/storefront +consul +NO \(Orphaned\) +unused /m);
  });

  it("shows the others where a file cannot be read, with the reason, and is 1", async () => {
    await report(declared("storefront"), "True", tomorrow);
    await directory.write("a.yaml", [written("emissary/storefront")]);
    await directory.write("b.yaml", "kind: MeshCertificate\n");
    const { status, stdout, stderr } = await command("status", "-c", config);
    expect(stdout).toMatch(/^emissary\/storefront +consul +yes/m);
    expect(stderr).toContain("b.yaml:1:1 apiVersion: must be");
    expect(status).toBe(1);
    expect((await command("status", "-c", config, "billing")).stderr).toContain("b.yaml:1:1");
  });

  it(
    "goes on with --watch, and prints under one heading what changes, comes and goes",
    { tags: ["realtime"] },
    async () => {
      await report(declared("storefront"), "True", tomorrow);
      await report(declared("billing"), "True", tomorrow);
      await using watching = start(["status", "-c", config, "--watch"]);
      const printed = async (text: RegExp) => {
        await vi.waitFor(() => expect(watching.stdout).toMatch(text));
      };
      await printed(/\n\nIDENTITY .*\nemissary\/billing .* yes .*\nemissary\/storefront .* yes .*\n$/);
      await report(declared("billing"), "False", tomorrow);
      await printed(/yes .*\nemissary\/billing .* NO .*\n\nemissary\/billing Ready: The leaf is valid.\n$/);
      await directory.write("a.yaml", [written("emissary/storefront")]);
      await printed(/\nemissary\/billing is gone.\n$/);
      expect(watching.stdout.match(/storefront/g)).toHaveLength(1);
      watching.process.kill("SIGINT");
      expect(await watching.finished).toMatchObject({ status: 0, stderr: "" });
    },
  );

  it("says where it looked when there is nothing", async () => {
    await directory.write("a.yaml", "");
    const { status, stderr } = await command("status", "-c", config);
    expect(stderr).toContain(`There is no MeshCertificate in ${directory.identities} yet.`);
    expect(status).toBe(0);
  });

  it.each([
    ["bold on a terminal", true, undefined, "\x1b[1mIDENTITY"],
    ["plain on a terminal with NO_COLOR", true, "1", "IDENTITY"],
    ["plain in a pipe", false, undefined, "IDENTITY"],
  ])("has a heading that is %s", async (_, isTTY, noColor, heading) => {
    vi.stubEnv("TERM", "xterm").stubEnv("CI", undefined);
    vi.stubEnv("FORCE_COLOR", undefined).stubEnv("NO_COLOR", noColor);
    const stdout = Object.create(process.stdout, {
      isTTY: { value: isTTY },
      getColorDepth: { value: () => WriteStream.prototype.getColorDepth() },
    }) as WriteStream & { fd: 1 };
    using _stdout = vi.spyOn(process, "stdout", "get").mockReturnValue(stdout);
    const printed = await command("status", "-c", config);
    const [line] = printed.stdout.split("\n").filter((one) => one.includes("IDENTITY"));
    expect(line?.slice(0, heading.length)).toBe(heading);
    vi.unstubAllEnvs();
  });
});

it("names the new kind where a file of the folder has the former one", async () => {
  await directory.write("a.yaml", [{ ...written("emissary/storefront"), kind: "MeshIdentity" }]);
  const { status, stderr } = await command("status", "-c", config);
  expect(stderr).toContain('a.yaml:2:1 kind: is now "MeshCertificate", not "MeshIdentity": rename it');
  expect(status).toBe(1);
});

describe("explain", () => {
  it.each(["ATTACHE_MESH_UNREACHABLE", "mesh_unreachable"])(
    "says what %s means, and what to do",
    async (code) => {
      const { status, stdout } = await command("explain", code);
      expect(stdout).toBe(
        "ATTACHE_MESH_UNREACHABLE: attaché cannot connect to the control plane or agent of the mesh.\n" +
          "  → Check the address, the socket, the network, and that the control plane runs.\n" +
          "A command that fails with it has exit status 1.\n",
      );
      expect(status).toBe(0);
    },
  );

  it("guesses a code with a slip", async () => {
    const { status, stderr } = await command("explain", "ATTACHE_MESH_UNREACHABEL");
    expect(stderr).toContain("Did you mean ATTACHE_MESH_UNREACHABLE?");
    expect(status).toBe(2);
  });
});

describe("inspect", () => {
  it("asks for the namespace of a name that is in several", async () => {
    await directory.write("b.yaml", [written("shop/storefront")]);
    const { status, stderr } = await command("inspect", "-c", config, "storefront");
    expect(stderr).toContain("Name one of: emissary/storefront, shop/storefront.");
    expect(status).toBe(2);
  });

  it("says that nothing is published yet", async () => {
    const { status, stdout } = await command("inspect", "-c", config, "storefront");
    expect(stdout).toContain("Nothing is published.");
    expect(stdout).toContain("No attaché has looked at it yet.");
    expect(status).toBe(1);
  });
});

describe("renew and distrust, in a folder", () => {
  const file = () => readFile(join(directory.identities, "a.yaml"), "utf8");

  it("write the request into the file", async () => {
    const { status, stdout } = await command("renew", "-c", config, "storefront");
    expect(stdout).toBe("emissary/storefront: a new leaf is asked for\n");
    expect(await file()).toMatch(/attache\.dev\/renew: "?\d{4}-/);
    expect(status).toBe(0);
    const root = "b2".repeat(32);
    await running.report(declared("billing"), {
      conditions: [],
      roots: [{ fingerprint: root, notAfter: tomorrow, state: "retiring" }],
    });
    expect((await command("distrust", "-c", config, "b2b2b2b2")).stdout).toBe(
      `emissary/billing: the root ${root} is distrusted\n`,
    );
    expect(await file()).toContain(`attache.dev/distrust: ${root}`);
  });

  it("say so when no identity has the labels", async () => {
    const { stderr, stdout } = await command("renew", "-c", config, "-l", "team=none");
    expect(stderr).toContain("There is no MeshCertificate with the labels team=none in ");
    expect(stdout).toBe("");
  });

  it("wait until it is renewed, or say why it is not", { tags: ["realtime"] }, async () => {
    await running.report(declared("storefront"), { conditions: [], serialNumber: "01" });
    const waiting = command("renew", "-c", config, "storefront", "--wait");
    const asked = await vi.waitFor(async () => {
      const [, value = ""] = /attache\.dev\/renew: "?([^"\n]+)/.exec(await file()) ?? [];
      expect(value).not.toBe("");
      return value;
    });
    const renewed = { conditions: [], lastRenewRequest: asked, serialNumber: "02", notAfter: tomorrow };
    await running.report(declared("storefront"), renewed);
    expect(await waiting).toMatchObject({
      stdout: expect.stringContaining(`emissary/storefront: renewed, valid until ${tomorrow}`) as string,
      status: 0,
    });
    await report(declared("storefront"), "True", tomorrow, {
      ...{ type: "SourceReady", status: "False", reason: "Unreachable" },
      message: "The mesh does not answer.",
    });
    const late = await command("renew", "-c", config, "storefront", "--wait=600ms");
    expect(late.stderr).toContain("not renewed yet: emissary/storefront: The mesh does not answer.");
    expect(late.stderr).toContain("`attache inspect emissary/storefront`");
    expect(late.status).toBe(1);
  });
});

describe("render", () => {
  it.each([
    ["an identity that is there twice", "a.yaml", "the MeshCertificate emissary/storefront is there twice"],
    ["files without any", "attache.yaml", "there is no MeshCertificate in"],
    ["a file that is not there", "nowhere.yaml", "cannot read"],
    ["the former name of the kind", "former.yaml", 'former.yaml:2:1 kind: is now "MeshCertificate"'],
  ])("refuses %s", async (_, second, problem) => {
    await directory.write("former.yaml", [{ ...written("emissary/edge"), kind: "MeshIdentity" }]);
    const files = [join(directory.identities, "a.yaml"), join(directory.identities, second)];
    await directory.write("attache.yaml", stringify({ kind: "Other" }));
    const chosen = second === "attache.yaml" ? files.slice(1) : files;
    const { status, stderr } = await command("render", "-c", config, ...chosen);
    expect(stderr).toContain(problem);
    expect(status).toBe(2);
  });
});

it("has help for a terminal of 120 columns", async () => {
  for (const one of commands) {
    const { stdout } = await command(one, "--help");
    expect(stdout.split("\n").filter((line) => line.length > 120)).toEqual([]);
  }
});

describe("the arguments", () => {
  it.each(commands)("--help of %s says what it does", async (name) => {
    const { status, stdout } = await command(name, "--help");
    expect(stdout).toMatch(new RegExp(`^Usage: attache ${name}.*\n\n[A-Z]`));
    expect(status).toBe(0);
  });

  it("may hold --set several times, before a name", async () => {
    const { stdout } = await command(
      ...["status", "-c", config, "--set", "log.level=debug", "--set", "log.level=warn", "storefront"],
    );
    expect(stdout).toContain("emissary/storefront");
    expect(stdout).not.toContain("emissary/billing");
  });

  it.each([
    ["no value", ["status", "--set", "log"], 'there is no "="'],
    ["no YAML", ["status", "--set", "log={"], "--set log:1:2"],
    ["two that do not go together", ["status", "--mappings", "--watch"], "cannot be used with"],
    ["no format", ["status", "-o", "xml"], "table, wide, name, json, yaml, jsonpath=TEMPLATE."],
    ["no template", ["status", "-o", "jsonpath"], "it has no {…}"],
    ["no objects to name", ["inspect", "storefront", "-o", "name"], "there is no such format"],
    ["no selector", ["status", "-l", "team = = edge"], "is no requirement of labels"],
    ["names and a selector", ["status", "-l", "a=b", "web"], "cannot combine names and -l"],
    ["names and --mappings", ["status", "--mappings", "web"], "cannot combine --mappings and names"],
    ["a selector and --mappings", ["status", "--mappings", "-l", "a"], "cannot combine --mappings and -l"],
    ["names and --all", ["renew", "--all", "web"], "cannot combine names and --all"],
    ["two namespaces", ["status", "-n", "shop", "emissary/a"], "cannot combine -n shop and emissary/a"],
    ["headers of JSON", ["status", "--no-headers", "-o", "json"], "only a table has headers"],
    ["a user for a folder", ["status", "--as", "jane"], "the flags a cluster"],
    ["no duration", ["demo", "--duration", "5"], "a number and a unit"],
    ["no shell", ["completion", "tcsh"], "bash, zsh, fish"],
    ["no name", ["inspect"], "missing required argument 'name'"],
  ])("with %s are refused with status 2", async (_, args, problem) => {
    const { status, stderr } = await command(...args, ...(args[0] === "status" ? ["-c", config] : []));
    expect(stderr).toContain(problem);
    expect(status).toBe(2);
  });

  it("ask for the version as they do elsewhere", async () => {
    const { stdout } = await command("version");
    expect(await command("--version")).toEqual({ status: 0, stdout, stderr: "" });
  });

  it("are completed by bash", async () => {
    const { stdout } = await command("completion", "bash");
    const words = (line: string) => {
      const typed = line.split(" ");
      const ask = `COMP_WORDS=(${typed.join(" ")}); COMP_CWORD=${typed.length - 1}; _attache; echo "\${COMPREPLY[@]}"`;
      return spawnSync("bash", { input: `complete() { :; }\n${stdout}\n${ask}\n` })
        .stdout.toString()
        .trim();
    };
    expect(words("attache st")).toBe("status");
    expect(words("attache status --o")).toBe("--output");
  });
});
