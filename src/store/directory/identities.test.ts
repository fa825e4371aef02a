import { mkdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { follow } from "../../../test/conformance/store-scenario.ts";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { manualClock } from "../../../test/fixtures/clock.ts";
import { createDirectory, type Directory, declared, written } from "../../../test/fixtures/directory.ts";
import type { DirectoryStoreOptions } from "./directory-store.ts";
import { nodeFiles } from "./files.ts";
import { uidOf } from "./identities.ts";
import { maxIdentityFiles } from "./identity-sources.ts";

const often = { settleMs: 5, rescanMs: 20 };

/** A store that is watched, over the files given, and has reported what is in them. */
async function watched(
  contents: Readonly<Record<string, string | readonly unknown[]>>,
  options: Partial<DirectoryStoreOptions> = {},
) {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await createDirectory());
  for (const [file, text] of Object.entries(contents)) await directory.write(file, text);
  const store = stack.use(await directory.open(options));
  const events = stack.use(follow(store));
  const owned = stack.move();
  return {
    directory,
    store,
    events,
    /** The names of the identities that are reported next. */
    async identities(count: number) {
      const names: string[] = [];
      while (names.length < count) names.push((await events.next("identity")).identity.metadata.name);
      return names;
    },
    /** Shows that nothing is reported before the one identity more. */
    async nothingElse() {
      markers += 1;
      await directory.write(`marker-${markers}.yaml`, [written(`emissary/marker-${markers}`)]);
      await expect(events.next("identity")).resolves.toMatchObject({
        identity: { metadata: { name: `marker-${markers}` } },
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

let markers = 0;

describe("files of MeshCertificates", () => {
  it("may be many, of many documents, among other files and objects of other kinds", async () => {
    await using run = await watched({
      "a.yaml": [written("emissary/a"), { apiVersion: "v1", kind: "ConfigMap" }, written("emissary/b")],
      "c.yml": [written("billing/c")],
      "f.json": `{ "kind": "List", "items": [${JSON.stringify(written("billing/f"))}] }`,
      "d.txt": "no: yaml",
      ".e.yaml": "editors: hide",
      "empty.yaml": "",
    });
    expect((await run.identities(4)).toSorted()).toEqual(["a", "b", "c", "f"]);
    await run.events.next("synced");
  });

  it("may be named one by one", async () => {
    await using directory = await createDirectory();
    await directory.write("a.yaml", [written("emissary/a")]);
    await directory.write("b.yaml", [written("emissary/b")]);
    await using store = await directory.open({ identities: [join(directory.identities, "a.yaml")] });
    await using events = follow(store);
    expect((await events.next("identity")).identity.metadata.name).toBe("a");
    await events.next("synced");
    await directory.write("a.yaml", [written("emissary/c")]);
    expect((await events.next("gone")).identity.metadata.name).toBe("a");
    expect((await events.next("identity")).identity.metadata.name).toBe("c");
  });

  it("tell other annotations, with the same generation", async () => {
    await using run = await watched({ "a.yaml": [written("emissary/a")] });
    await run.identities(1);
    await run.events.next("synced");
    const metadata = { name: "a", namespace: "emissary", annotations: { "attache.dev/renew": "now" } };
    await run.directory.write("a.yaml", [{ ...(written("emissary/a") as object), metadata }]);
    const { identity } = await run.events.next("identity");
    expect(identity.metadata).toMatchObject({ ...metadata, uid: uidOf("emissary/a"), generation: 1 });
    await run.directory.write("a.yaml", [{ ...(written("emissary/a") as object), metadata }, {}]);
    await run.nothingElse();
  });

  it("give no UID, no deletion and no status: those are the store's to give", async () => {
    const copied = { ...(written("emissary/a") as object), status: { conditions: [] } };
    const given = { uid: "copied", generation: 7, deletionTimestamp: "2026-01-01T00:00:00Z" };
    const metadata = { name: "a", namespace: "emissary", creationTimestamp: null, ...given };
    await using run = await watched({ "a.yaml": [{ ...copied, metadata }] });
    const { identity } = await run.events.next("identity");
    expect(identity.metadata).toMatchObject({ uid: uidOf("emissary/a"), generation: 1 });
    expect(identity.metadata.deletionTimestamp).toBeUndefined();
    expect(identity.status).toBeUndefined();
  });

  it("are reported as missing where there are none yet, and found when they come", async () => {
    await using directory = await createDirectory();
    const later = join(directory.root, "later");
    await using store = await directory.open({ identities: [later], watch: often });
    await using events = follow(store);
    expect((await events.next("invalid")).error.message).toBe(
      `ATTACHE_STORE_UNREADABLE: ${later} is not there`,
    );
    await events.next("synced");
    await mkdir(later);
    await writeFile(join(later, "a.yaml"), stringify(written("emissary/a")));
    expect((await events.next("identity")).identity.metadata.name).toBe("a");
  });

  it("are counted, so that a wrong folder does not fill the memory", async () => {
    await using directory = await createDirectory();
    const names = Array.from({ length: maxIdentityFiles + 1 }, (_, index) => `${index}.yaml`);
    directory.files.list = (path) =>
      path === directory.identities ? Promise.resolve(names) : nodeFiles.list(path);
    await using store = await directory.open();
    await using events = follow(store);
    expect((await events.next("invalid")).error.message).toContain(`more than ${maxIdentityFiles} files`);
  });
});

describe("a file that becomes invalid", () => {
  it("keeps its identities in force, and is reported once with its places", async () => {
    await using run = await watched({ "a.yaml": [written("emissary/a")] });
    await run.identities(1);
    await run.events.next("synced");
    await run.directory.write("a.yaml", [written("emissary/a", { consul: { servce: "a" } })]);
    const { error } = await run.events.next("invalid");
    expect(error.code).toBe("ATTACHE_DOCUMENT_INVALID");
    expect(error.message).toContain(`${join(run.directory.identities, "a.yaml")}:8:5`);
    await run.nothingElse();
    await run.directory.write("a.yaml", [written("emissary/a")]);
    await run.nothingElse();
    await run.directory.write("a.yaml", [written("emissary/a", { target: { secret: "b" } })]);
    const { identity } = await run.events.next("identity");
    expect(identity.spec.target.secret).toBe("b");
    expect(identity.metadata.generation).toBe(2);
  });

  it("is one that was emptied: only its removal withdraws its identities", async () => {
    await using run = await watched({ "a.yaml": [written("emissary/a")], "b.yaml": [written("emissary/b")] });
    await run.identities(2);
    await run.events.next("synced");
    await run.directory.write("a.yaml", " \n");
    const { error } = await run.events.next("invalid");
    expect(error.message).toContain(`${join(run.directory.identities, "a.yaml")} is empty`);
    await run.nothingElse();
    await rm(join(run.directory.identities, "a.yaml"));
    expect((await run.events.next("gone")).identity.metadata.name).toBe("a");
    await run.directory.write("b.yaml", "# Not b any more.\n");
    expect((await run.events.next("gone")).identity.metadata.name).toBe("b");
  });

  it("is read no further than a mebibyte", async () => {
    await using run = await watched({ "a.yaml": [written("emissary/a")] });
    await run.identities(1);
    await run.events.next("synced");
    await truncate(join(run.directory.identities, "a.yaml"), 1024 * 1024 + 1);
    const { error } = await run.events.next("invalid");
    expect(error.message).toContain("(EFBIG)");
    expect(error.remedy).toContain("Split");
    await run.nothingElse();
  });

  it("is one that a link no longer leads to", async () => {
    await using run = await watched({}, { watch: often });
    await run.events.next("synced");
    const target = join(run.directory.root, "elsewhere.yaml");
    await writeFile(target, stringify(written("emissary/a")));
    await symlink(target, join(run.directory.identities, "a.yaml"));
    await run.identities(1);
    await rm(target);
    expect((await run.events.next("invalid")).error.message).toContain("leads nowhere");
    await run.nothingElse();
  });
});

describe("two documents of the same name", () => {
  it("leave the first by path in force, and name both places", async () => {
    await using run = await watched({
      "b.yaml": [written("emissary/a", { target: { secret: "from-b" } })],
      "a.yaml": [written("emissary/a", { target: { secret: "from-a" } })],
    });
    expect((await run.events.next("identity")).identity.spec.target.secret).toBe("from-a");
    const { error } = await run.events.next("invalid");
    expect(error.code).toBe("ATTACHE_DOCUMENT_INVALID");
    expect(error.message).toContain(join(run.directory.identities, "a.yaml"));
    expect(error.message).toContain(join(run.directory.identities, "b.yaml"));
    await run.events.next("synced");
    await rm(join(run.directory.identities, "a.yaml"));
    expect((await run.events.next("identity")).identity.spec.target.secret).toBe("from-b");
  });
});

describe("a file that is being written", () => {
  it("counts once it is at rest, although half of it is valid, too", async () => {
    const clock = manualClock();
    await using directory = await createDirectory(clock);
    const both = [written("emissary/a"), written("emissary/b")];
    await directory.write("a.yaml", both);
    await using store = await directory.open();
    await using events = follow(store);
    const first = events.next("identity");
    await clock.sleeping(2);
    await clock.advance(5);
    await first;
    await events.next("identity");
    await events.next("synced");
    const next = events.next("identity");
    await directory.write("a.yaml", both.slice(0, 1));
    await clock.sleeping(2);
    await rename(join(directory.identities, "a.yaml"), join(directory.identities, ".a.yaml.bak"));
    await clock.advance(5);
    await clock.sleeping(2);
    await directory.write("a.yaml", [...both, written("emissary/c")]);
    for (let looks = 0; looks < 2; looks += 1) {
      await clock.advance(5);
      if (looks === 0) await clock.sleeping(2);
    }
    expect((await next).identity.metadata.name).toBe("c");
  });

  it("may be a whole mounted ConfigMap that is swapped by a link", async () => {
    await using directory = await createDirectory();
    const { identities } = directory;
    const version = async (name: string, files: Readonly<Record<string, unknown>>) => {
      await mkdir(join(identities, name));
      for (const [file, one] of Object.entries(files))
        await writeFile(join(identities, name, file), stringify(one));
      await symlink(name, join(identities, "..data_tmp"));
      await rename(join(identities, "..data_tmp"), join(identities, "..data"));
    };
    await version("..1", { "a.yaml": written("emissary/a"), "b.yaml": written("emissary/b") });
    for (const file of ["a.yaml", "b.yaml"]) await symlink(`..data/${file}`, join(identities, file));
    await using store = await directory.open();
    await using events = follow(store);
    await events.next("identity");
    await events.next("identity");
    await events.next("synced");
    await version("..2", {
      "a.yaml": written("emissary/a", { target: { secret: "new" } }),
      "b.yaml": written("emissary/b"),
    });
    expect((await events.next("identity")).identity.spec.target.secret).toBe("new");
  });
});

describe("a folder that is away", () => {
  it("takes nothing with it", async () => {
    await using run = await watched({ "a.yaml": [written("emissary/a")] }, { watch: often });
    await run.identities(1);
    await run.events.next("synced");
    const { identities } = run.directory;
    await rename(identities, `${identities}-away`);
    expect((await run.events.next("invalid")).error.code).toBe("ATTACHE_STORE_UNREADABLE");
    await rename(`${identities}-away`, identities);
    await run.nothingElse();
  });

  it("may leave an empty one of another file system behind, as a mount does", async () => {
    await using run = await watched({ "a.yaml": [written("emissary/a")] }, { watch: often });
    await run.identities(1);
    await run.events.next("synced");
    const { identities, files } = run.directory;
    files.list = (path) => (path === identities ? Promise.resolve([]) : nodeFiles.list(path));
    files.stat = async (path) => {
      const facts = await nodeFiles.stat(path);
      return facts && path === identities ? { ...facts, dev: facts.dev + 1 } : facts;
    };
    expect((await run.events.next("invalid")).error.message).toContain("a mount is away");
    Object.assign(files, { stat: nodeFiles.stat.bind(nodeFiles), list: nodeFiles.list.bind(nodeFiles) });
    await run.nothingElse();
  });

  it("takes no file with it that was named itself", async () => {
    await using directory = await createDirectory();
    await directory.write("a.yaml", [written("emissary/a")]);
    const file = join(directory.identities, "a.yaml");
    await using store = await directory.open({ identities: [file] });
    await using events = follow(store);
    await events.next("identity");
    await events.next("synced");
    await rm(file);
    expect((await events.next("invalid")).error.message).toContain(`${file} is not there`);
  });
});

describe("an identity that went while no store was open", () => {
  /** Publishes `emissary/gone`, of which no file tells any more. */
  async function published(
    directory: Directory,
    files: Readonly<Record<string, string | readonly unknown[]>>,
  ) {
    {
      await using store = await directory.open({ pem: true });
      await store.apply(declared("gone"), targetOf(declared("gone"), "1"));
      await store.report(declared("gone"), { conditions: [] });
    }
    for (const [file, text] of Object.entries(files)) await directory.write(file, text);
  }

  it("is not gone before every file can be read: it may stand in that one", async () => {
    await using directory = await createDirectory();
    await published(directory, { "a.yaml": [written("emissary/a")], "b.yaml": "\tno: yaml" });
    await using store = await directory.open();
    await using events = follow(store);
    await events.next("identity");
    await events.next("invalid");
    await events.next("synced");
    await directory.write("b.yaml", [written("emissary/b")]);
    await events.next("identity");
    const { identity } = await events.next("gone");
    expect(identity.metadata).toEqual({ namespace: "emissary", name: "gone", uid: uidOf("emissary/gone") });
    await store.withdraw(identity);
    expect(await directory.list()).toEqual([]);
  });

  it("is not gone when the folder is empty: a mount may not be there yet", async () => {
    await using directory = await createDirectory();
    await published(directory, {});
    await using store = await directory.open({ watch: often });
    await using events = follow(store);
    const { error } = await events.next("invalid");
    expect(error.message).toContain("nothing is withdrawn");
    await events.next("synced");
    await directory.write("a.yaml", [written("emissary/gone")]);
    await events.next("identity");
    await directory.write("b.yaml", [written("emissary/b")]);
    expect((await events.next("identity")).identity.metadata.name).toBe("b");
  });

  it.each([
    ["was emptied", ""],
    ["is invalid", "kind: MeshCertificate"],
  ])("is not gone while there is a file that %s: it may have stood in that one", async (_, text) => {
    await using directory = await createDirectory();
    await published(directory, { "a.yaml": [written("emissary/a")], "b.yaml": text });
    await using store = await directory.open();
    await using events = follow(store);
    await events.next("identity");
    expect((await events.next("invalid")).error.message).toContain(join(directory.identities, "b.yaml"));
    await events.next("synced");
    await rm(join(directory.identities, "b.yaml"));
    expect((await events.next("gone")).identity.metadata.name).toBe("gone");
  });

  it("is known by its UID when its status is lost", async () => {
    await using directory = await createDirectory();
    await published(directory, { "a.yaml": [written("emissary/a")] });
    await rm(join(directory.path, "status"), { recursive: true });
    await using store = await directory.open();
    await using events = follow(store);
    await events.next("identity");
    const { identity } = await events.next("gone");
    expect(identity.metadata).toMatchObject({ namespace: "emissary", uid: uidOf("emissary/gone") });
    await store.withdraw(identity);
    expect(await directory.list()).toEqual([]);
  });
});

describe("a spec that changes while no store is open", () => {
  it("has the next generation, and one that does not has the same", async () => {
    await using directory = await createDirectory();
    const generationOf = async (spec: Readonly<Record<string, unknown>>) => {
      await directory.write("a.yaml", [written("emissary/a", spec)]);
      await using store = await directory.open();
      await using events = follow(store);
      const { identity } = await events.next("identity");
      await store.report(identity, { conditions: [] });
      return identity.metadata.generation;
    };
    expect(await generationOf({})).toBe(1);
    expect(await generationOf({ target: { secret: "b", caSecret: "c" } })).toBe(2);
    expect(await generationOf({ target: { caSecret: "c", secret: "b" } })).toBe(2);
    expect(await generationOf({})).toBe(3);
  });
});
