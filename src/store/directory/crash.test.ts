import { randomInt } from "node:crypto";
import { describe, expect, it } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { cases, share } from "../../../test/fixtures/cases.ts";
import { changesOf, createDirectory, type Directory, declared } from "../../../test/fixtures/directory.ts";
import { crashAfter, failAfter, type Fault, type Operation } from "../../../test/fixtures/faulty-files.ts";
import { assertSound, versionOfSet } from "../../../test/fixtures/published-folder.ts";
import { Semaphore } from "../../runtime/semaphore.ts";
import { StoreError } from "../store.ts";
import type { DirectoryStore } from "./directory-store.ts";

const before = declared("storefront");
const after = declared("storefront", { target: { secret: "b-mesh-cert", caSecret: "b-mesh-ca" } });

const noSpace = {
  code: "ATTACHE_STORE_UNWRITABLE",
  message: expect.stringContaining("no space left on device (ENOSPC)") as string,
  remedy: expect.stringContaining("Free space") as string,
};

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

describe("a process that ends at any point", { tags: ["search"] }, () => {
  it("leaves no context without its Secrets and nothing torn, and the next start completes it", async () => {
    const moments = [...(await operationsOf()).entries()];
    await new Semaphore(4).map(share(moments, 4), async ([count, operation]) => {
      try {
        await using directory = await createDirectory();
        directory.files.decide = crashAfter(count);
        await expect(live(directory)).rejects.toThrow(StoreError);
        directory.files.decide = () => undefined;
        await assertSound(directory.path);
        await complete(directory);
      } catch (cause) {
        throw new Error(`before operation ${count}, ${operation.kind} of ${operation.path}`, { cause });
      }
    });
  });
});

describe("a disk that is full for a moment", { tags: ["search"] }, () => {
  it("leaves nothing half written, says so, and a later apply completes it", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    /** Whether the disk was full before the apply was through. */
    const applyUntilFull = async (count: number): Promise<boolean> => {
      const fail = failAfter(count, { code: "ENOSPC", torn: true });
      const faults: Fault[] = [];
      directory.files.decide = ({ kind }) => {
        // Where a link cannot be made, a file is.
        if (kind === "link") return undefined;
        const fault = fail();
        faults.push(fault);
        return fault;
      };
      const failure = await store
        .apply(before, targetOf(before, `${count}`))
        .catch((error: unknown) => error);
      directory.files.decide = () => undefined;
      const wasFull = faults.some((fault) => fault !== undefined);
      if (wasFull) expect(failure).toMatchObject(noSpace);
      return wasFull;
    };
    for (let count = 0; await applyUntilFull(count); count += 1 + randomInt(cases(6, 1))) {
      await assertSound(directory.path);
      expect((await directory.list()).filter((name) => name.startsWith(".tmp"))).toEqual([]);
      await store.apply(before, targetOf(before, `${count}`));
      expect(await versionOfSet(`${directory.path}/emissary/pem-storefront`)).toBe(`${count}`);
      await assertSound(directory.path);
    }
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
    const published = (path: string) => path.includes("published/emissary/") && !/gen-\d+$/.test(path);
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
