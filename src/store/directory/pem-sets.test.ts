import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { cases } from "../../../test/fixtures/cases.ts";
import { createDirectory, declared } from "../../../test/fixtures/directory.ts";
import { versionOfSet } from "../../../test/fixtures/published-folder.ts";

const identity = declared();
const folder = "emissary/pem-storefront";

describe("a PEM set", () => {
  it("holds key, chain and roots of the Secrets, after them and before the context", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    expect(await store.apply(identity, targetOf(identity, "1"))).toEqual({ writes: 4 });
    expect(await directory.text(`${folder}/current/tls.key`)).toBe("key 1");
    expect(await directory.text(`${folder}/current/tls.crt`)).toBe("chain 1");
    expect(await directory.text(`${folder}/current/ca.crt`)).toBe("roots 1");
    const published = directory.files.done.filter(
      ({ kind, path }) => kind === "rename" && !path.includes("status"),
    );
    expect(published.map(({ path }) => basename(path))).toEqual([
      "Secret-storefront-mesh-ca.yaml",
      "Secret-storefront-mesh-cert.yaml",
      "gen-1",
      "current",
      "TLSContext-storefront.yaml",
    ]);
  });

  it("is written when either Secret changes, and costs nothing when none does, not even after a restart", async () => {
    await using directory = await createDirectory();
    {
      await using store = await directory.open({ pem: true });
      await store.apply(identity, targetOf(identity, "1"));
      expect(await store.apply(identity, targetOf(identity, { ca: "2", leaf: "1" }))).toEqual({ writes: 2 });
      expect(await store.apply(identity, targetOf(identity, { ca: "2", leaf: "1", alpn: "h2" }))).toEqual({
        writes: 1,
      });
    }
    await using store = await directory.open({ pem: true });
    expect(await store.apply(identity, targetOf(identity, { ca: "2", leaf: "1", alpn: "h2" }))).toEqual({
      writes: 0,
    });
  });

  it(
    "is never seen torn by who goes through the link once, and the generation before stays",
    { tags: ["search"] },
    async () => {
      await using directory = await createDirectory();
      // A thread of its own, so that readers come at any moment.
      await using store = await directory.open({ pem: true, thread: undefined });
      await store.apply(identity, targetOf(identity, "0"));
      const last = cases(10, 200);
      const read = () => versionOfSet(join(directory.path, folder));
      for (let version = 1; version <= last; version += 1) {
        const applied = store.apply(identity, targetOf(identity, `${version}`));
        const readers = Array.from({ length: 5 }, async (_, delay) => {
          for (let turns = 0; turns < delay; turns += 1) await setImmediate();
          return read();
        });
        for (const seen of await Promise.all(readers))
          expect([`${version - 1}`, `${version}`]).toContain(seen);
        await applied;
      }
      expect((await readdir(join(directory.path, folder))).toSorted()).toEqual([
        "current",
        `gen-${last}`,
        `gen-${last + 1}`,
      ]);
    },
  );

  it("goes when none is wanted any more", async () => {
    await using directory = await createDirectory();
    {
      await using store = await directory.open({ pem: true });
      await store.apply(identity, targetOf(identity, "1"));
    }
    await using store = await directory.open({ pem: false });
    expect(await store.apply(identity, targetOf(identity, "1"))).toEqual({ writes: 0 });
    expect(await directory.list()).not.toContainEqual(expect.stringContaining("pem-"));
  });

  it("leaves a folder alone that another program has filled", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    await mkdir(join(directory.path, folder), { recursive: true });
    await writeFile(join(directory.path, folder, "mine.pem"), "mine");
    await expect(store.apply(identity, targetOf(identity, "1"))).rejects.toMatchObject({
      code: "ATTACHE_STORE_TARGET_TAKEN",
      message: expect.stringContaining('it holds "mine.pem"') as string,
    });
    expect(await directory.list()).toEqual([`${folder}/mine.pem`]);
  });

  it("leaves a file alone that another program has put in its place, and goes without it", async () => {
    await using directory = await createDirectory();
    await using store = await directory.open({ pem: true });
    await store.apply(identity, targetOf(identity, "1"));
    await rm(join(directory.path, folder), { recursive: true });
    await writeFile(join(directory.path, folder), "mine");
    await expect(store.apply(identity, targetOf(identity, "2"))).rejects.toMatchObject({
      code: "ATTACHE_STORE_TARGET_TAKEN",
      message: expect.stringContaining("it is not a folder") as string,
    });
    await store.withdraw(identity);
    expect(await directory.list()).toEqual([folder]);
  });

  it("of another installation is left alone, too", async () => {
    await using directory = await createDirectory();
    {
      await using store = await directory.open({ pem: true, installation: "other" });
      await store.apply(identity, targetOf(identity, "1", "other"));
    }
    const before = await directory.list();
    await using store = await directory.open({ pem: true });
    await expect(store.apply(identity, targetOf(identity, "1"))).rejects.toThrow('the installation "other"');
    await store.withdraw(identity);
    expect(await directory.list()).toEqual(before);
  });
});
