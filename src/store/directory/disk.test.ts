import { chmod, mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { follow } from "../../../test/conformance/store-scenario.ts";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { createDirectory, type Directory, declared, written } from "../../../test/fixtures/directory.ts";
import { assertSound, versionOfSet } from "../../../test/fixtures/published-folder.ts";
import { folderThread } from "./disk.ts";
import { nodeFiles } from "./files.ts";

const identity = declared();

/** A store whose requests to its thread are recorded, as are reads beside it. */
async function recorded(directory: Directory) {
  const steps: string[] = [];
  const { files } = directory;
  const store = await directory.open({
    pem: true,
    thread: (root) => {
      const thread = files.thread(root);
      return {
        ask(request) {
          steps.push(request.kind);
          return thread.ask(request);
        },
        [Symbol.asyncDispose]: () => thread[Symbol.asyncDispose](),
      };
    },
  });
  files.lstat = (path) => {
    steps.push(`lstat of ${path}`);
    return nodeFiles.lstat(path);
  };
  files.list = (path) => {
    steps.push(`list of ${path}`);
    return nodeFiles.list(path);
  };
  return { store, taken: () => steps.splice(0) };
}

describe("a rotation", () => {
  it("is one transaction, and looks at nothing that it wrote itself", async () => {
    await using directory = await createDirectory();
    const { store, taken } = await recorded(directory);
    await using _ = store;
    expect(await store.apply(identity, targetOf(identity, "1"))).toEqual({ writes: 4 });
    expect(taken()).toEqual(["transaction"]);
    expect(await store.apply(identity, targetOf(identity, { ca: "1", leaf: "2" }))).toEqual({ writes: 2 });
    expect(taken()).toEqual(["transaction"]);
    expect(await store.apply(identity, targetOf(identity, { ca: "1", leaf: "2" }))).toEqual({ writes: 0 });
    expect(taken()).toEqual([]);
    await store.report(identity, { conditions: [] });
    expect(taken()).toEqual(["transaction"]);
  });

  it("syncs all files before the first of them shows, and each step before the next", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    await store.apply(identity, targetOf(identity, "1"));
    const { done } = directory.files;
    const from = done.length;
    await store.apply(identity, targetOf(identity, { ca: "1", leaf: "2" }));
    const steps = done.slice(from).flatMap(({ kind, path }) => {
      const place = path.slice(directory.path.length + 1).replace(/^\.tmp\/\d+-/, "tmp-");
      return kind === "sync" || kind === "rename" ? `${kind} ${place}` : [];
    });
    expect(steps).toEqual([
      "sync tmp-0",
      ...["tls.key", "tls.crt"].map((name) => `sync tmp-1/${name}`),
      "sync tmp-1",
      "rename emissary/Secret-storefront-mesh-cert.yaml",
      "rename emissary/pem-storefront/gen-2",
      "sync emissary",
      "sync emissary/pem-storefront",
      "rename emissary/pem-storefront/current",
      "sync emissary/pem-storefront",
    ]);
  });

  it("gives the roots of a set that stay a second name, and writes them where that cannot be", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    const set = join(directory.path, "emissary/pem-storefront");
    const numberOf = async (generation: string) => (await stat(join(set, generation, "ca.crt"))).ino;
    const rotate = (ca: string, leaf: string) => store.apply(identity, targetOf(identity, { ca, leaf }));
    for (const leaf of ["1", "2"]) await rotate("1", leaf);
    expect(await numberOf("gen-2")).toBe(await numberOf("gen-1"));
    await rotate("3", "3");
    expect(await numberOf("gen-3")).not.toBe(await numberOf("gen-2"));
    directory.files.decide = ({ kind }) => (kind === "link" ? { code: "EPERM" } : undefined);
    await rotate("3", "4");
    expect(await numberOf("gen-4")).not.toBe(await numberOf("gen-3"));
    directory.files.decide = () => undefined;
    await chmod(join(set, "gen-4/ca.crt"), 0o644);
    await rotate("3", "5");
    expect(await numberOf("gen-5")).not.toBe(await numberOf("gen-4"));
    // The set that others may read is gone with the one after the next.
    await rotate("3", "6");
    expect(await versionOfSet(set)).toBe("6");
    await assertSound(directory.path);
  });

  it("is awaited by a look at what it writes, which then reads nothing", async () => {
    await using directory = await createDirectory();
    await directory.write("a.yaml", [written("emissary/storefront")]);
    const { files } = directory;
    let notice: ((name: string) => void) | undefined;
    files.watch = (folder, listener) => {
      if (folder.endsWith("emissary")) notice = listener;
      return { [Symbol.dispose]: () => undefined };
    };
    const steps: string[] = [];
    const looked = Promise.withResolvers<unknown>();
    await using store = await directory.open({
      thread: (root) => {
        const thread = files.thread(root);
        return {
          async ask(request) {
            steps.push(request.kind);
            if (request.kind === "transaction") {
              notice?.("Secret-storefront-mesh-cert.yaml");
              // Time for a look that does not wait.
              await new Promise((resolve) => setImmediate(resolve));
            }
            const answer = await thread.ask(request);
            steps.push("answer");
            if (request.kind === "stamps") looked.resolve(answer);
            return answer;
          },
          [Symbol.asyncDispose]: () => thread[Symbol.asyncDispose](),
        };
      },
    });
    await store.apply(identity, targetOf(identity, "1"));
    await using events = follow(store);
    await events.next("identity");
    await events.next("synced");
    void events.end();
    steps.splice(0);
    await store.apply(identity, targetOf(identity, { ca: "1", leaf: "2" }));
    await looked.promise;
    expect(steps).toEqual(["transaction", "answer", "stamps", "answer"]);
  });

  it("changes nothing if another process has touched an object that it leaves as it is, and repairs that first", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    await store.apply(identity, targetOf(identity, "1"));
    await writeFile(join(directory.path, "emissary/Secret-storefront-mesh-ca.yaml"), "");
    expect(await store.apply(identity, targetOf(identity, { ca: "1", leaf: "2" }))).toEqual({ writes: 3 });
    await assertSound(directory.path);
  });

  it("writes nothing if another process has put a file where a new object is due", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    const taken = join(directory.path, "emissary/TLSContext-storefront.yaml");
    await mkdir(join(directory.path, "emissary"), { mode: 0o700 });
    await writeFile(taken, "mine");
    await expect(store.apply(identity, targetOf(identity, "1"))).rejects.toMatchObject({
      code: "ATTACHE_STORE_TARGET_TAKEN",
    });
    expect(await directory.list()).toEqual(["emissary/TLSContext-storefront.yaml"]);
  });
});

describe("a store with a thread of its own", () => {
  it("publishes, reports and withdraws", async () => {
    await using directory = await createDirectory();
    {
      await using store = await directory.open({ pem: true, thread: undefined });
      for (const version of ["1", "2"]) await store.apply(identity, targetOf(identity, version));
      await store.report(identity, { conditions: [] });
      expect(await versionOfSet(join(directory.path, "emissary/pem-storefront"))).toBe("2");
      await assertSound(directory.path);
    }
    await using store = await directory.open({ pem: true, thread: undefined });
    expect(await store.apply(identity, targetOf(identity, "2"))).toEqual({ writes: 0 });
    await store.withdraw(identity);
    expect(await directory.list()).toEqual([]);
  });

  it("says what the system refuses, and goes on with the rest", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ thread: undefined });
    const long = declared("long", { target: { secret: "s".repeat(250) } });
    await expect(store.apply(long, targetOf(long, "1"))).rejects.toMatchObject({
      code: "ATTACHE_STORE_UNWRITABLE",
      message: expect.stringContaining("name too long (ENAMETOOLONG)") as string,
      remedy: expect.stringContaining("Choose a shorter name") as string,
    });
    expect(await store.apply(identity, targetOf(identity, "1"))).toEqual({ writes: 3 });
  });

  it("starts the thread again if it has ended", async () => {
    await using directory = await createDirectory();
    await using thread = folderThread({ path: directory.root, via: directory.root, seen: "" });
    const request = { kind: "stamps", paths: [] } as const;
    const answer = { stamps: [], failure: { reason: "moved" } };
    expect(await thread.ask(request)).toMatchObject(answer);
    await thread[Symbol.asyncDispose]();
    expect(await thread.ask(request)).toMatchObject(answer);
  });
});
