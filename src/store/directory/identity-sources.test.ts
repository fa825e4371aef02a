import { chmod, mkdir, rename, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { follow } from "../../../test/conformance/store-scenario.ts";
import { createDirectory, written } from "../../../test/fixtures/directory.ts";

describe("MeshCertificates that others may write to", () => {
  it.each([
    ["the file", "a.yaml"],
    ["its folder", ""],
    ["a folder around it", ".."],
  ])("are not read because of %s, until that is mended", async (_, place) => {
    await using directory = await createDirectory();
    await directory.write("a.yaml", [written("emissary/a")]);
    const path = join(directory.identities, place);
    await chmod(path, 0o777);
    await using elsewhere = await createDirectory();
    const watch = { settleMs: 5, rescanMs: 20 };
    await using store = await directory.open({ path: elsewhere.path, watch });
    await using events = follow(store);
    expect((await events.next("invalid")).error).toMatchObject({
      code: "ATTACHE_STORE_UNREADABLE",
      message: expect.stringContaining(`others may write to ${path} (mode 777)`) as string,
      remedy: expect.stringContaining(`chmod go-w ${path}`) as string,
    });
    await events.next("synced");
    await chmod(path, 0o755);
    expect((await events.next("identity")).identity.metadata.name).toBe("a");
  });

  it("stay in force as they were read before", async () => {
    await using directory = await createDirectory();
    await directory.write("a.yaml", [written("emissary/a")]);
    await using store = await directory.open({ watch: { settleMs: 5, rescanMs: 20 } });
    await using events = follow(store);
    await events.next("identity");
    await events.next("synced");
    await chmod(directory.identities, 0o777);
    expect((await events.next("invalid")).error.message).toContain("(mode 777)");
    await directory.write("b.yaml", [written("emissary/b")]);
    await chmod(directory.identities, 0o755);
    expect((await events.next("identity")).identity.metadata.name).toBe("b");
  });
});

it("the volume of a ConfigMap, whose links have mode 0777, is read, and followed when its data is swapped", async () => {
  await using directory = await createDirectory();
  const { identities } = directory;
  const publish = async (version: string, name: string) => {
    await mkdir(join(identities, version));
    await directory.write(join(version, "a.yaml"), [written(`emissary/${name}`)]);
    await symlink(version, join(identities, "..data_tmp"));
    await rename(join(identities, "..data_tmp"), join(identities, "..data"));
  };
  await publish("..2026_01_01", "first");
  await symlink("..data/a.yaml", join(identities, "a.yaml"));
  await using store = await directory.open({ watch: { settleMs: 5, rescanMs: 20 } });
  await using events = follow(store);
  expect((await events.next("identity")).identity.metadata.name).toBe("first");
  await events.next("synced");
  await publish("..2026_01_02", "second");
  await events.next("gone");
  expect((await events.next("identity")).identity.metadata.name).toBe("second");
});
