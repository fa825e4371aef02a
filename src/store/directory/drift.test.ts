import { chmod, lstat, readlink, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { follow } from "../../../test/conformance/store-scenario.ts";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { createDirectory, written } from "../../../test/fixtures/directory.ts";
import { versionOfSet } from "../../../test/fixtures/published-folder.ts";
import type { DirectoryStoreOptions } from "./directory-store.ts";

const often = { settleMs: 5, rescanMs: 20 };

/** A store that has published one target, and what another process may do to it. */
async function published(options: Partial<DirectoryStoreOptions> = {}, { unwatched = false } = {}) {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await createDirectory());
  if (unwatched) directory.files.watch = () => ({ [Symbol.dispose]: () => undefined });
  await directory.write("a.yaml", [written("emissary/storefront")]);
  const store = stack.use(await directory.open(options));
  const events = stack.use(follow(store));
  const { identity } = await events.next("identity");
  await events.next("synced");
  const target = targetOf(identity, "1");
  await store.apply(identity, target);
  const owned = stack.move();
  return {
    directory,
    store,
    events,
    identity,
    target,
    ca: join(directory.path, "emissary/Secret-storefront-mesh-ca.yaml"),
    set: join(directory.path, "emissary/pem-storefront"),
    apply: () => store.apply(identity, target),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe("what others do to a published file", () => {
  it("is repaired when they let others read it", async () => {
    await using run = await published();
    await chmod(run.ca, 0o644);
    expect((await run.events.next("drift")).key).toBe("emissary/storefront");
    expect(await run.apply()).toEqual({ writes: 1 });
    expect((await lstat(run.ca)).mode & 0o777).toBe(0o600);
  });

  it("is repaired when they leave nothing of it that can be read", async () => {
    await using run = await published();
    for (const garbage of ["", "}garbage: [", "---\n"]) {
      await writeFile(run.ca, garbage);
      await run.events.next("drift");
      expect(await run.apply()).toEqual({ writes: 1 });
    }
    expect(await run.store.read(run.identity)).toHaveLength(3);
  });

  it("costs nothing when they only touch it", async () => {
    await using run = await published();
    await utimes(run.ca, 1, 1);
    expect(await run.apply()).toEqual({ writes: 0 });
    await rm(run.ca);
    await run.events.next("drift");
    expect(await run.apply()).toEqual({ writes: 1 });
  });

  it("is noticed without the system's notice, too", async () => {
    await using run = await published({ watch: often }, { unwatched: true });
    await rm(run.ca);
    await run.events.next("drift");
    expect(await run.apply()).toEqual({ writes: 1 });
  });

  it("is reported once, and left to others once they put an object of their own there", async () => {
    await using run = await published({ watch: often });
    const [ca] = run.target;
    await writeFile(run.ca, JSON.stringify({ ...ca, metadata: { ...ca.metadata, annotations: {} } }));
    await run.events.next("drift");
    await expect(run.apply()).rejects.toThrow("it does not say that it is attaché's");
    await run.directory.write("b.yaml", [written("emissary/b")]);
    expect((await run.events.next("identity")).identity.metadata.name).toBe("b");
    await rm(run.ca);
    expect(await run.apply()).toEqual({ writes: 1 });
  });

  it("is repaired when they delete the namespace's folder", async () => {
    await using run = await published({ watch: often });
    await rm(join(run.directory.path, "emissary"), { recursive: true });
    await run.events.next("drift");
    expect(await run.apply()).toEqual({ writes: 3 });
    await rm(run.ca);
    await run.events.next("drift");
    expect(await run.apply()).toEqual({ writes: 1 });
  });

  it("before the watch begins is repaired by the first apply", async () => {
    await using run = await published({ pem: true });
    await run.store[Symbol.asyncDispose]();
    await chmod(run.ca, 0o640);
    await chmod(join(run.set, "current/tls.key"), 0o640);
    await using store = await run.directory.open({ pem: true });
    expect(await store.apply(run.identity, run.target)).toEqual({ writes: 2 });
    expect((await lstat(join(run.set, "current/tls.key"))).mode & 0o777).toBe(0o600);
  });
});

describe("what others do to a PEM set", () => {
  const deeds: Readonly<Record<string, (set: string) => Promise<void>>> = {
    "edit a file": (set) => writeFile(join(set, "gen-1/tls.key"), "key 2"),
    "delete a file": (set) => rm(join(set, "gen-1/ca.crt")),
    "open a file to others": (set) => chmod(join(set, "gen-1/tls.key"), 0o644),
    "open a folder to others": (set) => chmod(join(set, "gen-1"), 0o755),
    "delete the link": (set) => rm(join(set, "current")),
    "delete it": (set) => rm(set, { recursive: true }),
  };
  for (const [deed, act] of Object.entries(deeds)) {
    it(`is repaired when they ${deed}`, async () => {
      await using run = await published({ pem: true, watch: often });
      await act(run.set);
      await run.events.next("drift");
      expect(await run.apply()).toEqual({ writes: 1 });
      expect(await versionOfSet(run.set)).toBe("1");
      expect(await readlink(join(run.set, "current"))).toMatch(/^gen-[12]$/);
    });
  }
});
