import { mkdirSync, renameSync, symlinkSync } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { createDirectory, declared } from "../../../test/fixtures/directory.ts";
import { assertSound, versionOfSet } from "../../../test/fixtures/published-folder.ts";
import { nodeFiles } from "./files.ts";

const identity = declared();
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

describe("the store's folder", () => {
  it("is made with those around it, and only we may enter them", async () => {
    await using directory = await createDirectory();
    const path = join(directory.root, "var/lib/attache");
    await using _ = await directory.open({ path });
    expect([await modeOf(path), await modeOf(join(directory.root, "var"))]).toEqual([0o700, 0o700]);
  });

  it("is refused when others may write to it", async () => {
    await using directory = await createDirectory();
    await mkdir(directory.path);
    await chmod(directory.path, 0o770);
    await expect(directory.open()).rejects.toMatchObject({
      code: "ATTACHE_STORE_UNWRITABLE",
      message: expect.stringContaining("(mode 770)") as string,
      remedy: expect.stringContaining(`chmod go-w ${directory.path}`) as string,
    });
  });

  it("is refused when others may write around it, and could put another in its place", async () => {
    await using directory = await createDirectory();
    const around = join(directory.root, "shared");
    await mkdir(join(around, "var/attache"), { recursive: true, mode: 0o700 });
    await chmod(around, 0o777);
    for (const path of [join(around, "var/attache"), join(around, "new/attache")]) {
      await expect(directory.open({ path })).rejects.toMatchObject({
        code: "ATTACHE_STORE_UNWRITABLE",
        message: expect.stringContaining(`others may write to ${around} (mode 777)`) as string,
        remedy: expect.stringContaining(`chmod go-w ${around}`) as string,
      });
    }
    await chmod(around, 0o1777);
    await using _ = await directory.open({ path: join(around, "new/attache") });
  });

  it("is refused when it belongs to another user, who could put anything in it", async () => {
    await using directory = await createDirectory();
    directory.files.lstat = async (path) => {
      const facts = await nodeFiles.lstat(path);
      return facts && { ...facts, uid: 4711 };
    };
    await mkdir(directory.path);
    await expect(directory.open()).rejects.toThrow("belongs to the user 4711");
  });

  it("is used, with a warning, when others may list it", async () => {
    await using directory = await createDirectory();
    await mkdir(directory.path);
    await chmod(directory.path, 0o755);
    await using store = await directory.open();
    await store.apply(identity, targetOf(identity, "1"));
    expect(directory.logged.join("")).toContain("others may see what the folder holds");
    await assertSound(directory.path);
  });

  it("is refused when it is a file", async () => {
    await using directory = await createDirectory();
    await writeFile(directory.path, "");
    await expect(directory.open()).rejects.toThrow(`${directory.path} is not a folder`);
  });

  it("is refused on a file system that takes no writes, with what to do", async () => {
    await using directory = await createDirectory();
    directory.files.decide = () => ({ code: "EROFS" });
    await expect(directory.open()).rejects.toMatchObject({
      code: "ATTACHE_STORE_UNWRITABLE",
      message: expect.stringContaining("read-only file system (EROFS)") as string,
      remedy: expect.stringContaining("read-write") as string,
    });
  });
});

describe("the store's folder, swapped while attaché runs", () => {
  it.each<[string, (path: string) => Promise<void>]>([
    ["another folder", (path) => mkdir(path)],
    ["a link to another folder", (path) => symlink("/tmp", path)],
    ["a link to itself", (path) => symlink(`${path}.moved`, path)],
    ["nothing", () => Promise.resolve()],
  ])("for %s takes no writes until it is back", async (_, swap) => {
    await using directory = await createDirectory();
    const { path } = directory;
    await using store = await directory.open();
    await rename(path, `${path}.moved`);
    await swap(path);
    await expect(store.apply(identity, targetOf(identity, "1"))).rejects.toMatchObject({
      code: "ATTACHE_STORE_UNWRITABLE",
      message: expect.stringContaining(`${path} is not the folder that attaché opened`) as string,
      remedy: expect.stringContaining("restart attaché") as string,
    });
    await rm(path, { recursive: true, force: true });
    await rename(`${path}.moved`, path);
    expect(await directory.list()).toEqual([]);
    await store.apply(identity, targetOf(identity, "1"));
    await assertSound(path);
  });
});

describe.runIf(process.platform === "linux")(
  "the store's folder, swapped in the midst of a transaction",
  () => {
    it.each<[string, (path: string, other: string) => void]>([
      ["another folder", (path, other) => renameSync(other, path)],
      ["a link to another folder", (path, other) => symlinkSync(other, path)],
    ])("for %s gets what was begun by its handle; the other one gets nothing", async (_, swap) => {
      await using directory = await createDirectory();
      const { path, files } = directory;
      const other = join(directory.root, "other");
      mkdirSync(other);
      await using store = await directory.open({ pem: true });
      await store.apply(identity, targetOf(identity, "1"));
      let isSwapped = false;
      files.decide = ({ kind }) => {
        if (kind !== "rename" || isSwapped) return undefined;
        isSwapped = true;
        renameSync(path, `${path}.moved`);
        swap(path, other);
        return undefined;
      };
      await store.apply(identity, targetOf(identity, "2"));
      expect(isSwapped).toBe(true);
      expect(await readdir(path)).toEqual([]);
      expect(await versionOfSet(`${path}.moved/emissary/pem-storefront`)).toBe("2");
      await assertSound(`${path}.moved`);
      for (const work of [
        () => store.apply(identity, targetOf(identity, "3")),
        () => store.report(identity, { conditions: [] }),
        () => store.withdraw(identity),
      ]) {
        await expect(work()).rejects.toMatchObject({
          code: "ATTACHE_STORE_UNWRITABLE",
          message: expect.stringContaining(`${path} is not the folder that attaché opened`) as string,
          remedy: expect.stringContaining("Bring it back; or restart attaché") as string,
        });
      }
      expect(await readdir(path)).toEqual([]);
    });
  },
);

describe("a namespace's folder", () => {
  it("is closed to others, also where another process made it", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    await mkdir(join(directory.path, "emissary"), { mode: 0o755 });
    await store.apply(identity, targetOf(identity, "1"));
    expect(directory.logged.join("")).toContain("others had access to a folder of keys");
    await assertSound(directory.path);
  });

  it("that is a link is not followed", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    const elsewhere = join(directory.root, "elsewhere");
    await mkdir(elsewhere);
    await symlink(elsewhere, join(directory.path, "emissary"));
    await expect(store.apply(identity, targetOf(identity, "1"))).rejects.toThrow("emissary is not a folder");
    await expect(store.report(identity, { conditions: [] })).resolves.toBeUndefined();
    expect(await directory.list()).toEqual(["emissary", "status/emissary/storefront.yaml"]);
  });
});

describe("a published file that cannot be read at the start, as another user owns it", () => {
  it("concerns its identity alone, and is reported in its status", async () => {
    await using directory = await createDirectory();
    const other = declared("billing");
    {
      await using store = await directory.open({ pem: true });
      await store.apply(identity, targetOf(identity, "1"));
      await store.apply(other, targetOf(other, "1"));
    }
    directory.files.read = (path, options) =>
      path.includes("storefront")
        ? Promise.reject(Object.assign(new Error("no"), { code: "EACCES" }))
        : nodeFiles.read(path, options);
    await using store = await directory.open({ pem: true });
    expect(directory.logged.join("")).toContain("something that may be published cannot be read");
    // Of several the same is named each time, so that it is one line in the log.
    for (let tries = 0; tries < 5; tries += 1) {
      await expect(store.apply(identity, targetOf(identity, "2"))).rejects.toMatchObject({
        code: "ATTACHE_STORE_UNREADABLE",
        message: expect.stringContaining("storefront-mesh-ca") as string,
        remedy: expect.stringContaining("Let the user that attaché runs as in") as string,
      });
    }
    expect(await store.apply(other, targetOf(other, "1"))).toEqual({ writes: 0 });
    directory.files.read = (path, options) => nodeFiles.read(path, options);
    await store.apply(identity, targetOf(identity, "2"));
    await assertSound(directory.path);
  });
});

describe("a link in the place of a target", () => {
  it("belongs to another user: it is neither followed nor replaced", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open();
    const victim = join(directory.root, "victim");
    await writeFile(victim, "untouched");
    await mkdir(join(directory.path, "emissary"));
    await symlink(victim, join(directory.path, "emissary/TLSContext-storefront.yaml"));
    await expect(store.apply(identity, targetOf(identity, "1"))).rejects.toMatchObject({
      code: "ATTACHE_STORE_TARGET_TAKEN",
    });
    expect(await directory.list()).toEqual(["emissary/TLSContext-storefront.yaml"]);
  });
});

describe("a file of another user in the place of a target", () => {
  const adopting = declared("storefront", { target: { adopt: true } });
  const [ca] = targetOf(adopting, "1");
  const path = "emissary/Secret-storefront-mesh-ca.yaml";
  const marked = (annotations: object) =>
    JSON.stringify({ ...ca, metadata: { ...ca.metadata, annotations: { ...annotations } } });
  const { annotations } = ca.metadata;
  const files: Readonly<Record<string, string>> = {
    "that cannot be parsed": "}garbage: [",
    "that is empty": "",
    "without a mark": marked({}),
    "of another installation": marked({ ...annotations, "attache.dev/installation": "other" }),
    "of an identity that is not known": marked({
      ...annotations,
      "attache.dev/identity": "00000000-0000-8000-8000-000000000000",
      "attache.dev/name": "unknown",
    }),
  };
  for (const [what, text] of Object.entries(files)) {
    it(`is left alone, with \`adopt\`, too: one ${what}`, async () => {
      await using directory = await createDirectory();
      await using store = await directory.open();
      await mkdir(join(directory.path, "emissary"));
      await writeFile(join(directory.path, path), text);
      for (let tries = 0; tries < 2; tries += 1) {
        await expect(store.apply(adopting, targetOf(adopting, "1"))).rejects.toMatchObject({
          code: "ATTACHE_STORE_TARGET_TAKEN",
          remedy: expect.stringContaining("or move the file away") as string,
        });
      }
      await store.withdraw(adopting);
      expect(await directory.list()).toEqual([path]);
      expect(await directory.text(path)).toBe(text);
    });
  }
});

describe("a name that would lead out of the folder", () => {
  it("is a bug in attaché, and written nowhere", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open();
    const names = [
      { ...identity, spec: { ...identity.spec, target: { ...identity.spec.target, secret: "../../out" } } },
      { ...identity, metadata: { ...identity.metadata, namespace: ".." } },
    ];
    for (const hostile of names) {
      await expect(store.apply(hostile, targetOf(hostile, "1"))).rejects.toThrow(
        "must be lower-case letters",
      );
    }
    expect(await directory.list()).toEqual([]);
  });
});
