import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { distrusted, type PathFiles } from "./trusted-path.ts";

interface Place {
  readonly mode: number;
  readonly uid?: number;
  readonly link?: string;
}

/** A file system of these places; all else are folders of root that only root may write to. */
function filesOf(places: Readonly<Record<string, Place>>): PathFiles {
  return {
    lstat(path) {
      const { mode, uid = 0, link } = places[path] ?? { mode: 0o755 };
      return Promise.resolve({ kind: link === undefined ? "folder" : "link", mode, uid } as const);
    },
    readlink: (path) => Promise.resolve(places[path]?.link ?? ""),
  };
}

function check(path: string, places: Readonly<Record<string, Place>>, mounts = "") {
  return distrusted(path, { files: filesOf(places), mounts: () => Promise.resolve(mounts), user: 1000 });
}

const mount = (point: string, options: string, superOptions = "rw") =>
  `36 35 98:0 /etc ${point} ${options} master:1 - ext4 /dev/root ${superOptions}`;

describe("a path is trusted", () => {
  it.each([
    ["of root, or of the user", "/etc/attache/settings.yaml", { "/etc/attache": { mode: 0o755, uid: 1000 } }],
    [
      "in a folder that is sticky",
      "/tmp/a/settings.yaml",
      { "/tmp": { mode: 0o1777 }, "/tmp/a": { mode: 0o700, uid: 1000 } },
    ],
    [
      "through links of mode 0777, as in the volume of a ConfigMap",
      "/etc/attache/settings.yaml",
      {
        "/etc/attache/settings.yaml": { mode: 0o777, link: "..data/settings.yaml" },
        "/etc/attache/..data": { mode: 0o777, link: "..2026_01_01" },
      },
    ],
  ])("%s", async (_, path, places) => {
    expect(await check(path, places)).toBeUndefined();
  });

  it("whatever its modes and owners, where it is mounted read-only", async () => {
    const places = { "/etc/attache": { mode: 0o777 }, "/etc/attache/a b": { mode: 0o644, uid: 4711 } };
    for (const mounts of [
      mount("/etc/attache", "ro,relatime"),
      mount("/etc/attache", "rw", "ro,seclabel"),
      [mount("/", "rw"), mount("/etc", "rw"), mount("/etc/attache", "rw"), mount("/etc/attache", "ro")].join(
        "\n",
      ),
    ]) {
      expect(await check("/etc/attache/a b", places, mounts)).toBeUndefined();
    }
    expect(await check("/etc/attache/a b", places, mount("/etc/att", "ro"))).toBeDefined();
    expect(
      await check("/etc/attache/a b", places, [mount("/", "ro"), mount("/etc", "rw")].join("\n")),
    ).toBeDefined();
    expect(
      await check("/mnt/a b", { "/mnt/a b": { mode: 0o666 } }, mount("/mnt/a\\040b", "ro")),
    ).toBeUndefined();
  });
});

it("a path in a volume that all may write to is trusted where that is asked for", async () => {
  const volume = { "/mnt/shared": { mode: 0o777 } };
  const shared = (path: string, places: Readonly<Record<string, Place>>, point: string) =>
    distrusted(path, {
      ...{ files: filesOf(places), user: 1000, sharesMounts: true },
      mounts: () => Promise.resolve(mount(point, "rw")),
    });
  expect(await shared("/mnt/shared/attache", volume, "/mnt/shared")).toBeUndefined();
  expect(await shared("/mnt/shared/attache", volume, "/mnt")).toBeDefined();
  expect(await check("/mnt/shared/attache", volume, mount("/mnt/shared", "rw"))).toBeDefined();
  const ofOther = { "/mnt/shared": { mode: 0o777, uid: 4711 } };
  expect(await shared("/mnt/shared/attache", ofOther, "/mnt/shared")).toBeDefined();
});

describe("a path is refused, with what to do", () => {
  it.each([
    [
      "is writable for a group",
      { "/etc/attache/settings.yaml": { mode: 0o664 } },
      "chmod go-w /etc/attache/settings.yaml",
    ],
    [
      "is in a folder that is writable for all",
      { "/etc/attache": { mode: 0o777 } },
      "chmod go-w /etc/attache",
    ],
    [
      "belongs to another user",
      { "/etc/attache/settings.yaml": { mode: 0o600, uid: 4711 } },
      "chown 1000 /etc/attache/settings.yaml",
    ],
    ["has a folder of another user far above it", { "/etc": { mode: 0o755, uid: 4711 } }, "chown 1000 /etc"],
    [
      "is a link of another user, as they may put one into a sticky folder",
      {
        "/etc/attache": { mode: 0o1777 },
        "/etc/attache/settings.yaml": { mode: 0o777, uid: 4711, link: "/etc/passwd" },
      },
      "chown 1000 /etc/attache/settings.yaml",
    ],
    [
      "is a link into a folder that others may write to",
      {
        "/etc/attache/settings.yaml": { mode: 0o777, link: "../../srv/open/settings.yaml" },
        "/srv/open": { mode: 0o775 },
      },
      "chmod go-w /srv/open",
    ],
    [
      "is a link to itself",
      { "/etc/attache/settings.yaml": { mode: 0o777, link: "settings.yaml" } },
      "Name the file itself",
    ],
  ])("that %s", async (_, places, remedy) => {
    const distrust = await check("/etc/attache/settings.yaml", places);
    expect(distrust?.remedy).toContain(remedy);
    expect(distrust?.problem).toMatch(/\(mode [0-7]+\)|the user 4711|more than 40 links/);
  });
});

it("real files are judged the same: one in a folder in /tmp, a ConfigMap's volume, and what others may write to", async () => {
  const root = await mkdtemp(join(tmpdir(), "attache-"));
  try {
    const data = join(root, "..2026_01_01");
    await mkdir(data);
    await writeFile(join(data, "settings.yaml"), "");
    await symlink("..2026_01_01", join(root, "..data"));
    await symlink("..data/settings.yaml", join(root, "settings.yaml"));
    expect(await distrusted(join(root, "settings.yaml"))).toBeUndefined();
    expect(await distrusted(join(root, "none.yaml"))).toBeUndefined();
    await chmod(data, 0o777);
    expect((await distrusted(join(root, "settings.yaml")))?.problem).toContain("..2026_01_01 (mode 777)");
    await promisify(execFile)("chmod", ["go-w", data]);
    expect(await distrusted(join(root, "settings.yaml"))).toBeUndefined();
  } finally {
    await rm(root, { recursive: true });
  }
});
