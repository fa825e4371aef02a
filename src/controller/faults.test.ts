import { describe, expect, it, vi } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { createMemoryStore } from "../../test/fixtures/memory-store.ts";
import { createLeaf, createRoot } from "../../test/fixtures/pki.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import type { Credential } from "../credentials/credential.ts";
import type { SecretManifest } from "../render/manifest.ts";
import { StoreError } from "../store/store.ts";

type Watch = NonNullable<NonNullable<Parameters<typeof startReconciliation>[0]>["watch"]>;

/** Counts the watches, and lets the first `bad` of them do what `misbehave` does. */
function faulty(bad: number, misbehave: Watch) {
  const counted = { watches: 0 };
  const watch: Watch = (sound, options) => {
    counted.watches += 1;
    return counted.watches > bad ? sound() : misbehave(sound, options);
  };
  return { counted, watch };
}

async function* yields(...values: unknown[]): AsyncGenerator<Credential> {
  for (const value of values) yield await Promise.resolve(value as Credential);
}

const never = new Promise<never>(() => undefined);
const silent = { [Symbol.asyncIterator]: () => ({ next: () => never, return: () => never }) };

function sourceReady(run: Reconciliation) {
  return run.status()?.conditions.find(({ type }) => type === "SourceReady");
}

describe("an adapter", () => {
  const misbehaviours: [string, Watch, string][] = [
    ["ends its watch", () => yields(), "Unavailable"],
    ["yields undefined", () => yields(undefined), "Malformed"],
    ["yields an empty object", () => yields({}), "Malformed"],
    [
      "yields text in place of certificates",
      () => yields({ key: "k", chain: ["c"], bundle: [] }),
      "Malformed",
    ],
    [
      "throws at once",
      () => {
        throw new TypeError("a bug");
      },
      "InternalError",
    ],
    ["returns nothing to iterate", () => undefined as never, "InternalError"],
    [
      "throws an error without a message",
      () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error()) }) }),
      "InternalError",
    ],
  ];
  it.each(misbehaviours)(
    "that %s is asked again with back-off, and heard once it behaves",
    async (_, act, reason) => {
      const { counted, watch } = faulty(5, act);
      await using run = await startReconciliation({ watch });
      run.store.put(identity());
      await vi.waitFor(() => expect(counted.watches).toBe(1));
      await run.clock.advance(0);
      expect(counted.watches).toBe(1);
      await run.clock.advance(1_000);
      await vi.waitFor(() => expect(sourceReady(run)?.reason).toBe(reason));
      await run.clock.advance(60_000);
      await run.until("Ready", "True/Valid");
      expect(counted.watches).toBe(6);
      expect(run.logged.filter((line) => /no credential|please report/.test(line))).toHaveLength(1);
    },
  );

  it("that gives one credential in each watch and ends it is asked ever more rarely", async () => {
    const { counted, watch } = faulty(Infinity, async function* (sound) {
      for await (const credential of sound()) {
        yield credential;
        return;
      }
    });
    await using run = await startReconciliation({ watch });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await run.clock.advance(120_000);
    expect(counted.watches).toBeLessThan(20);
    expect(run.store.writes).toHaveLength(3);
  });

  it("that never yields and heeds no signal holds up neither a renewal nor the end", async () => {
    const { counted, watch } = faulty(1, () => silent);
    await using run = await startReconciliation({ watch });
    run.store.put(identity());
    await vi.waitFor(() => expect(counted.watches).toBe(1));
    await run.clock.advance(2_000);
    expect(sourceReady(run)?.reason).toBe("Waiting");
    run.store.put(identity("storefront", { consul: { service: "other" } }));
    await run.until("Ready", "True/Valid");
    expect(counted.watches).toBe(2);
  });
});

describe("a Secret with another issuer's certificate", () => {
  it.each(["https://example.org/web", "spiffe://Example.org/web"])(
    "of the URI %s is replaced after a restart, and its mesh is watched",
    async (uri) => {
      await using run = await startReconciliation();
      run.store.put(identity());
      await run.until("Ready", "True/Valid");
      const data = await replaceLeaf(run, uri);
      await run.restart();
      await vi.waitFor(() => expect(run.store.objects.get(leafSecret)).toMatchObject({ data }));
      await run.until("Ready", "True/Valid");
    },
  );

  it("is reported while the mesh says nothing", async () => {
    let isSilent = false;
    await using run = await startReconciliation({ watch: (sound) => (isSilent ? silent : sound()) });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    await replaceLeaf(run, "https://example.org/web");
    isSilent = true;
    await run.restart();
    await run.until("Ready", "False/NotAdmitted");
    expect(run.status()?.spiffeId).toBeUndefined();
  });
});

/** As a user does with the rights to write Secrets: what marks them as attaché's stays. */
async function replaceLeaf(run: Reconciliation, uri: string): Promise<SecretManifest["data"]> {
  const leaf = await createLeaf(await createRoot(), { uris: [uri] });
  const before = run.store.objects.get(leafSecret) as SecretManifest;
  const data = {
    "tls.key": base64(leaf.key.export({ type: "pkcs8", format: "pem" }).toString()),
    "tls.crt": base64(leaf.certificate.toPem()),
  };
  run.store.objects.set(leafSecret, { ...before, data });
  return before.data;
}

const leafSecret = "emissary/Secret/storefront-mesh-cert";

describe("a wall clock that jumps two hours back and forth", { tags: ["dates"] }, () => {
  it("delays no repair, no try after a failure, no rotation and no withdrawal", async () => {
    const life = { leafLifetimeMs: 30 * 24 * 3600_000, rootLifetimeMs: 365 * 24 * 3600_000 };
    const { counted, watch } = faulty(2, () => yields());
    await using run = await startReconciliation({ ...life, watch, rotationWindowMs: 30_000 });
    let hours = 2;
    const step = async (ms: number) => {
      run.clock.set(new Date(run.clock.now().getTime() + (hours = -hours) * 3600_000));
      await run.clock.advance(ms);
    };
    // A leaf that begins in the future is judged again each minute: in three steps, and so by the other time.
    const twoMinutes = async () => {
      for (let seconds = 0; seconds < 120; seconds += 20) await step(20_000);
    };
    await step(1);
    run.store.put(identity());
    await vi.waitFor(() => expect(counted.watches).toBe(1));
    for (let second = 0; second < 5; second += 1) await step(1_000);
    expect(counted.watches).toBe(3);
    await twoMinutes();
    await run.until("Ready", "True/Valid");
    for (let rotation = 0; rotation < 4; rotation += 1) {
      const before = run.status()?.serialNumber;
      await run.mesh.rotate("storefront");
      await twoMinutes();
      await vi.waitFor(() => expect(run.status()?.serialNumber).not.toBe(before));
    }
    run.store.beforeWrite = () => {
      throw new StoreError("ATTACHE_STORE_UNWRITABLE", "the disk is full");
    };
    run.store.objects.delete(leafSecret);
    run.store.drift("emissary/storefront");
    await run.until("Published", "False/Unwritable");
    run.store.beforeWrite = () => undefined;
    await step(2_000);
    await vi.waitFor(() => expect(run.store.objects.has(leafSecret)).toBe(true));
    expect(
      run.observed.published.every(({ propagationMs }) => propagationMs >= 0 && propagationMs <= 120_000),
    ).toBe(true);
    run.store.remove("emissary/storefront");
    await vi.waitFor(() => expect(run.store.objects.size).toBe(0));
  });
});

describe("a withdrawal", () => {
  it("that throws anything at all is tried again, and logged once", async () => {
    const store = createMemoryStore();
    await using run = await startReconciliation({ store });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    let tries = 0;
    const withdraw = store.withdraw.bind(store);
    store.withdraw = (gone) => {
      tries += 1;
      if (tries <= 3) throw new TypeError("a bug");
      return withdraw(gone);
    };
    run.store.remove("emissary/storefront");
    await vi.waitFor(() => expect(tries).toBe(1));
    await run.clock.advance(60_000);
    await vi.waitFor(() => expect(run.store.objects.size).toBe(0));
    expect(run.logged.filter((line) => line.includes("not withdrawn"))).toHaveLength(1);
  });
});

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
