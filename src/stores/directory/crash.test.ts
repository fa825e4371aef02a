import { describe, expect, it } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { changesOf, createDirectory, type Directory, told } from "../../../test/fixtures/directory.ts";
import { crashAfter, failAfter, type Fault, type Operation } from "../../../test/fixtures/faulty-files.ts";
import { assertSound, versionOfSet } from "../../../test/fixtures/published-folder.ts";
import { StoreError } from "../errors.ts";
import type { DirectoryStore } from "./directory-store.ts";

const before = told("storefront");
const after = told("storefront", { target: { secret: "b-mesh-cert", caSecret: "b-mesh-ca" } });

/** A life in which everything happens that changes the disk. */
const life: readonly ((store: DirectoryStore) => Promise<unknown>)[] = [
  (store) => store.apply(before, targetOf(before, "1")),
  (store) => store.report(before, { conditions: [] }),
  (store) => store.apply(before, targetOf(before, "2")),
  (store) => store.apply(after, targetOf(after, "3")),
  (store) => store.withdraw(after),
];

const whole = [
  "emissary/Secret-b-mesh-ca.yaml",
  "emissary/Secret-b-mesh-cert.yaml",
  "emissary/TLSContext-storefront.yaml",
  "emissary/pem-storefront/current",
];

async function live(directory: Directory): Promise<void> {
  await using store = await directory.open({ pem: true });
  for (const step of life) await step(store);
}

/** What an undisturbed life does to the disk. */
async function operationsOf(): Promise<Operation[]> {
  await using directory = await createDirectory();
  const operations: Operation[] = [];
  directory.files.decide = (operation) => void operations.push(operation);
  await live(directory);
  return operations;
}

const operations = await operationsOf();

/** Interrupts a life once at every operation, each time in a folder of its own. */
async function everywhere(
  decide: (count: number) => () => Fault,
  body: (directory: Directory, failure: unknown) => Promise<void>,
): Promise<void> {
  for (const [count, operation] of operations.entries()) {
    await using directory = await createDirectory();
    directory.files.decide = decide(count);
    const failure = await live(directory).then(
      () => undefined,
      (error: unknown) => error,
    );
    directory.files.decide = () => undefined;
    try {
      await body(directory, failure);
    } catch (cause) {
      throw new Error(`before operation ${count}, ${operation.kind} of ${operation.path}`, { cause });
    }
  }
}

/** The last state but one, reached from wherever an interruption has left off. */
async function complete(directory: Directory): Promise<void> {
  await using store = await directory.open({ pem: true });
  expect(await directory.list()).not.toContainEqual(expect.stringMatching(/^\.tmp/));
  await store.apply(after, targetOf(after, "3"));
  expect((await directory.list()).filter((name) => !/^status|gen-/.test(name))).toEqual(whole);
  expect(await versionOfSet(`${directory.path}/emissary/pem-storefront`)).toBe("3");
  await assertSound(directory.path);
  await store.withdraw(after);
  expect(await directory.list()).toEqual([]);
}

describe("a process that ends at any point", () => {
  it("leaves no context without its Secrets and nothing torn, and the next start completes it", async () => {
    await everywhere(crashAfter, async (directory) => {
      await assertSound(directory.path);
      await complete(directory);
    });
  });
});

describe("a disk that is full for a moment", () => {
  it("leaves nothing half written, says so, and a later apply completes it", async () => {
    await everywhere(
      (count) => failAfter(count, { code: "ENOSPC", torn: true }),
      async (directory, failure) => {
        expect(failure).toBeInstanceOf(StoreError);
        expect(failure).toMatchObject({ code: "ATTACHE_STORE_UNWRITABLE" });
        expect((failure as StoreError).message).toContain("no space left on device (ENOSPC)");
        expect((failure as StoreError).remedy).toContain("Free space");
        await assertSound(directory.path);
        await complete(directory);
      },
    );
  });

  it("is no reason to believe in what may not be on the disk", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open();
    await store.apply(before, targetOf(before, "1"));
    // The rename is done, and its folder not synced.
    directory.files.decide = ({ kind, path }) =>
      kind === "sync" && path.endsWith("emissary") ? { code: "EIO" } : undefined;
    await expect(store.apply(before, targetOf(before, "2"))).rejects.toThrow("i/o error (EIO)");
    directory.files.decide = () => undefined;
    expect(await store.apply(before, targetOf(before, "2"))).toEqual({ writes: 2 });
  });
});

describe("a disk that loses what is not synced", () => {
  it("has each file and each rename before the next, and so every order of writes and removals", async () => {
    await using directory = await createDirectory();
    await live(directory);
    const { done } = directory.files;
    const published = (path: string) => /published\/emissary\//.test(path) && !/gen-\d+$/.test(path);
    const unsynced = new Set<string>();
    for (const { kind, path, from } of done) {
      if (kind === "create") unsynced.add(path);
      if (kind === "sync") unsynced.delete(path);
      if ((kind === "rename" || kind === "remove") && published(path)) {
        expect(unsynced, `${kind} of ${path}`).not.toContain(from);
        expect(unsynced, `${kind} of ${path}`).not.toContain(path.slice(0, path.lastIndexOf("/")));
        unsynced.add(path.slice(0, path.lastIndexOf("/")));
      }
    }
    expect(changesOf(directory.files)).toHaveLength(3 + 2 + 3 + 2 + 3);
  });
});
