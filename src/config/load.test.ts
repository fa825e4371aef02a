import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { definitions } from "../registry/registry.ts";
import { parseDuration } from "../text/duration.ts";
import { loadSettings } from "./load.ts";
import { overridesFrom, parseOverride } from "./overrides.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "attache-settings-"));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function load(text: string, overrides: Parameters<typeof loadSettings>[1] = []) {
  const file = join(folder, "attache.yaml");
  await writeFile(file, text);
  return loadSettings(file, overrides);
}

function flag(text: string) {
  const override = parseOverride(text);
  if (override === undefined) throw new Error(text);
  return override;
}

describe("settings", () => {
  it("have a default for everything, with paths beside the file", async () => {
    const { settings } = await load("# nothing\n");
    expect(settings).toMatchObject({
      installation: "attache",
      store: { kind: "directory", directory: { path: join(folder, "published"), pem: false } },
      server: { enabled: true, listen: { host: "127.0.0.1", port: 9464 } },
      plugins: { directory: folder },
      limits: { clockSkew: 60_000 },
    });
  });

  it("are overridden by the environment, and that by flags", async () => {
    const env = { ATTACHE_LOG_LEVEL: "debug", ATTACHE_LIMITS_CLOCK_SKEW: "5s", ATTACHE_UNRELATED: "x" };
    const { settings } = await load("log: { level: warn }\n", [
      ...overridesFrom(env),
      flag("log.level=error"),
    ]);
    expect(settings.log.level).toBe("error");
    expect(settings.limits.clockSkew).toBe(5_000);
  });

  it("that others may write to are not read, with the command that mends it", async () => {
    await load("installation: edge\n");
    const file = join(folder, "attache.yaml");
    for (const path of [file, folder]) {
      await chmod(path, 0o777);
      await expect(loadSettings(file)).rejects.toThrow(
        `others may write to ${path} (mode 777): the settings are not read. Run \`chmod go-w ${path}\``,
      );
      await chmod(path, 0o700);
    }
    expect((await loadSettings(file)).settings.installation).toBe("edge");
  });

  it("that are missing say how to name them", async () => {
    await expect(loadSettings(join(folder, "no.yaml"))).rejects.toThrow("select another with --config FILE");
  });

  it.each([
    ["log: { levl: info }\n", 'attache.yaml:1:8 log.levl: unknown key; did you mean "level"?'],
    [
      "server: { listen: nowhere }\n",
      'attache.yaml:1:11 server.listen: must be HOST:PORT, e.g. "127.0.0.1:9464"',
    ],
    ["server: { listen: '127.0.0.1:65536' }\n", "server.listen: must be HOST:PORT"],
    ["limits: { clockSkew: 100000d }\n", 'attache.yaml:1:11 limits.clockSkew: must be between "0s" and "1h"'],
    [
      "limits:\n  rotationWindow: 30d\n",
      'attache.yaml:2:3 limits.rotationWindow: must be between "0s" and "10m"',
    ],
    ["limits: { secretBytes: 1073741824 }\n", "limits.secretBytes: must be at most 1048576"],
    [
      "meshes: { a: { adapter: consul, trust: { retain: 9999d } } }\n",
      'meshes.a.trust.retain: must be between "0s" and "365d"',
    ],
    [
      "store: { kind: kubernetes }\nemissary: [{ nudgeAfter: 1h }]\n",
      'emissary.0.nudgeAfter: must be between "500ms" and "10m"',
    ],
    [
      "store: { kubernetes: { leaderElection: { leaseDuration: 24h } } }\n",
      'store.kubernetes.leaderElection.leaseDuration: must be between "1s" and "10m"',
    ],
    ["limits: { clockSkew: soon }\n", "attache.yaml:1:11 limits.clockSkew: must be a number and a unit"],
    [
      "store: { kind: etcd }\n",
      'store.kind: the store "etcd" does not exist; write "directory" or "kubernetes"',
    ],
    [
      "allow: [{ namespaces: [shop], mesh: consul, tlsContexts: [web] }]\n",
      "attache.yaml:1:9 allow.0.spiffeIds: is missing; write an array",
    ],
    [
      'allow: [{ namespaces: [shop], mesh: consul, spiffeIds: ["spiffe://a/**/b"], tlsContexts: [web] }]\n',
      'attache.yaml:1:57 allow.0.spiffeIds.0: "spiffe://a/**/b" has a "**" that is not the last segment.',
    ],
    [
      "store: { kubernetes: { leaderElection: { leaseDuration: 1500ms } } }\n",
      "store.kubernetes.leaderElection.leaseDuration: must be whole seconds",
    ],
    [
      "store:\n  kubernetes:\n    namespaces: [edge, shop, edge]\n",
      "attache.yaml:3:30 store.kubernetes.namespaces.2: the namespace edge stands here twice: keep one of them",
    ],
    ["emissary: [{}]\n", "emissary: requires the store `kubernetes`"],
    ["meshes: { a: {} }\n", "attache.yaml:1:11 meshes.a.adapter: is missing; write a string"],
    ["log: {}\n---\nlog: {}\n", "a second document: remove it"],
  ])("that read %j are refused with the place and what to write", async (text, problem) => {
    await expect(load(text)).rejects.toThrow(problem);
  });

  it("from the environment are refused by the name of the variable", async () => {
    const loading = load("", overridesFrom({ ATTACHE_SERVER_ENABLED: "perhaps" }));
    await expect(loading).rejects.toThrow(
      "ATTACHE_SERVER_ENABLED server.enabled: must be boolean, not string",
    );
  });

  it("are text where the setting is text, also if YAML would read a number, a boolean or nothing", async () => {
    const overrides = overridesFrom({
      ATTACHE_INSTALLATION: "010",
      ATTACHE_STORE_DIRECTORY_PATH: "yes: *no",
      ATTACHE_STORE_KUBERNETES_NAMESPACES: "[010, yes, true]",
      ATTACHE_LIMITS_CLOCK_SKEW: "0",
      ATTACHE_SERVER_ENABLED: "false",
      ATTACHE_LIMITS_SECRET_BYTES: "2048",
    });
    const { settings } = await load("", overrides);
    expect(settings).toMatchObject({
      installation: "010",
      store: {
        directory: { path: join(folder, "yes: *no") },
        kubernetes: { namespaces: ["010", "yes", "true"] },
      },
      limits: { clockSkew: 0, secretBytes: 2048 },
      server: { enabled: false },
    });
  });

  it("of an adapter are text where the adapter has text", async () => {
    const flags = [
      flag("meshes.dc1.datacenter=010"),
      flag("meshes.dc1.namespace=*x"),
      flag("meshes.dc1.mode=http"),
    ];
    const loaded = await load("meshes: { dc1: { adapter: consul, addresses: [] } }", flags);
    const schema = z.strictObject({
      addresses: z.array(z.string()),
      datacenter: z.string(),
      namespace: z.string().optional(),
      mode: z.enum(["grpc", "http"]),
    });
    expect(loaded.meshSettings("dc1", schema)).toMatchObject({
      datacenter: "010",
      namespace: "*x",
      mode: "http",
    });
  });

  it("count as unset if the variable is empty", () => {
    expect(
      overridesFrom({ ATTACHE_LOG_LEVEL: "", ATTACHE_LIMITS_CLOCK_SKEW: " ", ATTACHE_LIMITS_X: "" }),
    ).toEqual([]);
  });

  it.each([
    ["ATTACHE_LIMITS_CLOCKSKEW", 'did you mean "ATTACHE_LIMITS_CLOCK_SKEW"?'],
    ["ATTACHE_LIMITS_X", "known are: ATTACHE_LIMITS_CLOCK_SKEW, "],
    ["ATTACHE_INSTALATION", 'did you mean "ATTACHE_INSTALLATION"?'],
    ["ATTACHE_MESHES_CONSUL_TOKEN", "meshes have no variables"],
  ])("from a misspelt variable %s are refused", (name, problem) => {
    expect(() => overridesFrom({ [name]: "1s" })).toThrow(`${name}: `);
    expect(() => overridesFrom({ [name]: "1s" })).toThrow(problem);
  });

  it("leave alone what Kubernetes sets for Services that are called like attaché", () => {
    const links = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_METRICS", "PORT", "PORT_9464_TCP_ADDR"];
    const env = [...links, ...links.map((link) => `SERVER_${link}`), "UNRELATED"];
    expect(overridesFrom(Object.fromEntries(env.map((name) => [`ATTACHE_${name}`, "x"])))).toEqual([]);
  });

  it(
    "of many unknown keys are refused with ten of them, in linear time",
    { tags: ["thorough"], timeout: 30_000 },
    async () => {
      const text = Array.from({ length: 20_000 }, (_, index) => `k${index}: 1`).join("\n");
      const problem = await load(text).catch((error: unknown) => (error as Error).message);
      expect(problem).toMatch(/k9: unknown key; known here: .*\nand more: correct these first$/);
    },
  );

  it("of an adapter are refused with their place in the file", async () => {
    const loaded = await load("meshes:\n  dc1:\n    adapter: consul\n    tokn: x\n");
    expect(() => loaded.meshSettings("dc1", definitions.consul.settings)).toThrow(
      'attache.yaml:4:5 meshes.dc1.tokn: unknown key; did you mean "token"?',
    );
  });
});

describe("a duration", () => {
  it.each([
    ["500ms", 500],
    ["1.5s", 1_500],
    ["15m", 900_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
    ["1h30m", 5_400_000],
    ["24h0m0s", 86_400_000],
    ["1.5h", 5_400_000],
    ["1m0.5s", 60_500],
    [".5s", 500],
    ["1d12h", 129_600_000],
    ["0", 0],
    ["1500us", 1.5],
    ["1h30", undefined],
    ["h", undefined],
    ["", undefined],
    ["1".repeat(100_000), undefined],
    ["7", undefined],
    ["-1s", undefined],
    ["1 h", undefined],
  ])("%s is %s ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });
});
