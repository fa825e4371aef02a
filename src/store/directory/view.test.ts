import { mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { createDirectory, type Directory, declared, written } from "../../../test/fixtures/directory.ts";
import { keyOf } from "../../api/mesh-certificate.ts";
import { viewDirectory } from "./view.ts";

const reported = {
  conditions: [
    {
      type: "Ready" as const,
      status: "True" as const,
      reason: "Valid",
      message: "It is.",
      lastTransitionTime: "2026-01-01T00:00:00.000Z",
    },
  ],
};

/** A folder in which `storefront` is published and reported, and no attaché works any more. */
async function published(): Promise<Directory> {
  const directory = await createDirectory();
  await directory.write("a.yaml", [written("emissary/storefront")]);
  await using store = await directory.open();
  await store.apply(declared(), targetOf(declared(), "1"));
  await store.report(declared(), reported);
  return directory;
}

async function spoil({ path }: Directory, file: string, bytes: string | Buffer): Promise<void> {
  await mkdir(dirname(join(path, file)), { recursive: true });
  await writeFile(join(path, file), bytes);
}

describe("a reader of a directory store", () => {
  it("sees each identity with what is reported and published", async () => {
    await using directory = await published();
    const { views, problems } = await viewDirectory({ ...directory, identities: [directory.identities] });
    expect(problems).toEqual([]);
    expect(views.map(({ identity, status }) => [keyOf(identity), status])).toEqual([
      ["emissary/storefront", reported],
    ]);
    expect(await views[0]?.manifests()).toEqual(targetOf(declared(), "1"));
  });

  it.each([
    ["garbage", "\0\xff\t{{{"],
    ["nothing", ""],
    ["null", "null\n"],
    ["a list", "- 1\n"],
    ["another object", "kind: Secret\n"],
    ["too much", Buffer.alloc(3 * 1024 * 1024, "#")],
  ])("sees nothing where there is %s", async (_, bytes) => {
    await using directory = await published();
    await spoil(directory, "status/emissary/storefront.yaml", bytes);
    await spoil(directory, "emissary/Secret-storefront-mesh-cert.yaml", bytes);
    const { views } = await viewDirectory({ ...directory, identities: [directory.identities] });
    expect(views.map(({ status }) => status)).toEqual([undefined]);
    expect(await views[0]?.manifests()).toHaveLength(2);
  });

  it("sees the others where a file is wrong, and learns why", async () => {
    await using directory = await published();
    const { identities } = directory;
    await directory.write("b.yaml", "kind: MeshCertificate\n");
    await directory.write("c.yaml", [written("emissary/storefront")]);
    await directory.write("huge.yaml", "");
    await truncate(join(identities, "huge.yaml"), 1024 * 1024 + 1);
    await symlink("nowhere", join(identities, "link.yaml"));
    // Of no file's kind, and without end: it is passed over.
    await symlink("/dev/zero", join(identities, "zero.yaml"));
    const away = join(directory.root, "away");
    const { views, problems } = await viewDirectory({ ...directory, identities: [identities, away] });
    expect(views.map(({ identity }) => keyOf(identity))).toEqual(["emissary/storefront"]);
    expect(problems.map(({ problem }) => problem.replaceAll(`${directory.root}/`, "")).toSorted()).toEqual([
      "away is not there",
      "cannot read identities/huge.yaml: file too large (EFBIG)",
      'identities/b.yaml:1:1 apiVersion: must be "attache.dev/v1alpha1"',
      "identities/c.yaml: the MeshCertificate emissary/storefront is in identities/a.yaml already, and that one counts",
      "identities/link.yaml is a link that leads nowhere",
    ]);
  });
});
