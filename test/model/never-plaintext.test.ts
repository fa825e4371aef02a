import { describe, expect, it } from "vitest";
import type { KubeClient } from "../../src/kube/client.ts";
import { pathOf, resources } from "../../src/kube/resources.ts";
import type { Manifest } from "../../src/render/manifest.ts";
import type { Store } from "../../src/store/store.ts";
import { createPool } from "./credentials.ts";
import { explore } from "./explore.ts";
import { type Bounds, check } from "./world.ts";

const pool = await createPool(4);

describe(
  "whatever happens in whatever order, no Mapping is exposed, no pair torn and no upstream rejected",
  { tags: ["search"] },
  () => {
    it.each<[string, Parameters<typeof check>[0]["from"], Bounds]>([
      ["a crash or another leader between any two first writes", "nothing", { events: 0, faults: 1 }],
      ["a rotation or the end between any two first writes", "nothing", { events: 1, faults: 0 }],
      ["a rotation or the end, and a crash or another leader", "what is published", { events: 1, faults: 1 }],
    ])("not by %s", async (_, from, bounds) => {
      expect((await check({ pool, from }, bounds)).runs).toBeGreaterThan(4);
    });

    it("not by two rotations or ends that overlap", { tags: ["thorough"] }, async () => {
      const { runs } = await check({ pool, from: "what is published" }, { events: 2, faults: 0 });
      expect(runs).toBeGreaterThan(4);
    });
  },
);

/** What the model is there to find. */
describe("it is found out", { tags: ["search"] }, () => {
  it.each<[string, Spoilt, Bounds, string]>([
    [
      "the context comes before its Secrets",
      (apply) => (identity, manifests) => apply(identity, manifests.toReversed()),
      { events: 0, faults: 0 },
      "a context without its leaf Secret: Emissary sends plaintext",
    ],
    [
      "a leaf comes before the union of roots",
      (apply) => (identity, manifests) => apply(identity, manifests.toSorted(leafFirst)),
      { events: 1, faults: 0 },
      "a leaf of the root 1 without that root",
    ],
    [
      "what changes is deleted and created",
      (apply, api) => async (identity, manifests) => {
        await removeStale(manifests, api);
        return apply(identity, manifests);
      },
      { events: 1, faults: 0 },
      "a context without its leaf Secret: Emissary sends plaintext",
    ],
  ])("when %s", async (_, spoilt, bounds, problem) => {
    const spoil = (store: Store, api: KubeClient) => {
      store.apply = spoilt(store.apply.bind(store), api);
      return store;
    };
    const from = bounds.events === 0 ? "nothing" : "what is published";
    await expect(check({ pool, from, spoil }, bounds)).rejects.toThrow(problem);
  });

  it("when a leader that was deposed decides again what to write", async () => {
    const bounds: Bounds = { events: 2, faults: 1, only: ["the leaf rotates"] };
    const unfenced = check({ pool, from: "what is published", isUnfenced: true }, bounds);
    await expect(unfenced).rejects.toThrow("a leaf that is older than the one before");
  });
});

describe("an exploration", () => {
  it("takes every choice in all combinations, and tells how it came to what it found", async () => {
    const seen: string[] = [];
    await explore((choose) => {
      const one = choose(["a", "b"]);
      seen.push(one + (one === "a" ? choose(["x", "y", "z"]) : ""));
      return Promise.resolve();
    });
    expect(seen).toEqual(["ax", "ay", "az", "b"]);
    const failing = explore((choose) => {
      if (choose(["a", "b"]) + choose(["x", "y"]) === "by") throw new Error("it is exposed");
      return Promise.resolve();
    });
    await expect(failing).rejects.toThrow("it is exposed\n  after: b → y");
  });

  it("does not go on with runs that are not repeatable", async () => {
    let runs = 0;
    const run = explore((choose) => {
      choose(["a", `b${(runs += 1)}`]);
      return Promise.resolve();
    });
    await expect(run).rejects.toThrow("not repeatable");
  });
});

type Spoilt = (apply: Store["apply"], api: KubeClient) => Store["apply"];

function leafFirst(one: Manifest, other: Manifest): number {
  const rank = ({ kind, metadata }: Manifest) =>
    kind === "Secret" ? Number(metadata.name.endsWith("-ca")) : 2;
  return rank(one) - rank(other);
}

interface Data {
  readonly data?: Readonly<Record<string, string>>;
}

async function removeStale(manifests: readonly Manifest[], api: KubeClient): Promise<void> {
  for (const manifest of manifests) {
    if (manifest.kind !== "Secret") continue;
    const path = pathOf(resources.secrets, manifest.metadata);
    const there = await api.request<Data>({ method: "GET", path }).catch(() => undefined);
    if (there === undefined || there.data?.["tls.crt"] === manifest.data["tls.crt"]) continue;
    await api.request({ method: "DELETE", path, body: {} });
  }
}
