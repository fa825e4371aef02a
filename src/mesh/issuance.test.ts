import { describe, expect, it, vi } from "vitest";
import { type ManualClock, manualClock } from "../../test/fixtures/clock.ts";
import type { Certificate } from "../credentials/certificate.ts";
import type { ListedRoots } from "../credentials/certificates.ts";
import type { Credential } from "../credentials/credential.ts";
import { type Authority, createAuthority } from "./development/authority.ts";
import { readCsr } from "./development/csr.ts";
import { MeshError } from "./errors.ts";
import { issue, type IssuanceRequest } from "./issuance.ts";
import { LatestValue } from "../runtime/latest-value.ts";
import { renewalTimeOf, rootChangeJitterMs } from "./renewal.ts";

const spiffeId = "spiffe://dev.example/web";
const hourMs = 3_600_000;

interface Setting {
  readonly clock: ManualClock;
  readonly authority: Authority;
  readonly roots: LatestValue<readonly Certificate[]>;
  readonly sign: ReturnType<typeof vi.fn<IssuanceRequest["sign"]>>;
  readonly abort: (reason: Error) => void;
  readonly issue: (request?: Partial<IssuanceRequest>) => AsyncGenerator<Credential, never>;
}

async function setUp(): Promise<Setting> {
  const clock = manualClock("2026-01-01T00:00:00Z");
  const authority = await createAuthority({ trustDomain: "dev.example", clock, leafLifetimeMs: hourMs });
  const roots = new LatestValue<readonly Certificate[]>();
  const publish = () => roots.publish(authority.roots().map(({ certificate }) => certificate));
  publish();
  authority.subscribe(publish);
  const sign = vi.fn<IssuanceRequest["sign"]>(async (csr) => {
    const { publicKey } = readCsr(await csr());
    return authority.sign({ uri: spiffeId, publicKey });
  });
  const { signal, abort } = controller();
  return {
    ...{ clock, authority, roots, sign, abort },
    issue: (request) => issue({ spiffeId, sign, roots, clock, signal, ...request }),
  };
}

function controller() {
  const abortController = new AbortController();
  return { signal: abortController.signal, abort: (reason: Error) => abortController.abort(reason) };
}

async function next(credentials: AsyncGenerator<Credential, never>): Promise<Credential> {
  return (await credentials.next()).value;
}

async function advanceTo(clock: ManualClock, time: Date): Promise<void> {
  await clock.advance(time.getTime() - clock.now().getTime());
}

const fingerprints = (certificates: readonly Certificate[] = []) =>
  certificates.map((one) => one.fingerprint);
const key = ({ key }: Credential) => key.export({ format: "jwk" }).d;

describe("an identity without a credential", () => {
  it("gets a leaf for a key of its own, with the roots and the time of its renewal", async () => {
    const { issue, sign, roots, clock } = await setUp();
    const credential = await next(issue());
    expect(credential.chain[0].uris).toEqual([spiffeId]);
    expect(credential.chain[0].x509().checkPrivateKey(credential.key)).toBe(true);
    expect(fingerprints(credential.bundle)).toEqual(fingerprints(roots.value));
    expect(credential.renewalTime).toEqual(renewalTimeOf(credential.chain[0], clock.now()));
    expect(sign).toHaveBeenCalledTimes(1);
  });

  it("gives the same CSR to a mesh that has to be asked twice", async () => {
    const { issue, sign } = await setUp();
    const usual = sign.getMockImplementation();
    const csrs: string[] = [];
    sign.mockImplementationOnce(async (csr, signal) => {
      csrs.push(await csr(), await csr());
      return (await usual?.(csr, signal)) ?? [];
    });
    await next(issue());
    expect(csrs[1]).toBe(csrs[0]);
  });

  it("makes nothing before the mesh can sign it", async () => {
    const { issue, sign } = await setUp();
    const there = Promise.withResolvers<undefined>();
    sign.mockImplementationOnce(async (csr) => {
      await there.promise;
      await csr();
      return [];
    });
    // A CSR for that fails as soon as it is made.
    const credential = next(issue({ spiffeId: "https://dev.example/web" }));
    await vi.waitFor(() => expect(sign).toHaveBeenCalledTimes(1));
    there.resolve(undefined);
    await expect(credential).rejects.toThrow(/https:\/\/dev.example\/web/);
  });

  it("asks for nothing before the roots are known", async () => {
    const { issue, sign, authority } = await setUp();
    const roots = new LatestValue<readonly Certificate[]>();
    const credential = next(issue({ roots }));
    await new Promise(setImmediate);
    expect(sign).not.toHaveBeenCalled();
    roots.publish(authority.roots().map(({ certificate }) => certificate));
    await credential;
  });

  it("gets a key of the type, and a renewal in the window, that are asked for", async () => {
    const { issue, clock } = await setUp();
    const window = { from: 0.1, to: 0.1 };
    const { key, chain, renewalTime } = await next(issue({ keyType: "ec-p384", window }));
    expect(key.asymmetricKeyDetails?.namedCurve).toBe("secp384r1");
    expect(renewalTime).toEqual(renewalTimeOf(chain[0], clock.now(), window));
  });
});

describe("a root that cannot be read", () => {
  it("is named with the roots that can, when it comes and until it goes", async () => {
    const { issue, authority, sign } = await setUp();
    const bundle = authority.roots().map(({ certificate }) => certificate);
    const leftOut = [{ fingerprint: "00", reason: "UnreadableByEnvoy", message: "…" }] as const;
    const roots = new LatestValue<ListedRoots>();
    roots.publish({ bundle, leftOut });
    const credentials = issue({ roots });
    expect(await next(credentials)).toMatchObject({ bundle, leftOut });
    roots.publish({ bundle, leftOut: [] });
    expect(await next(credentials)).toMatchObject({ bundle, leftOut: [] });
    roots.publish({ bundle, leftOut: [] });
    roots.publish({ bundle, leftOut });
    expect(await next(credentials)).toMatchObject({ bundle, leftOut });
    expect(sign).toHaveBeenCalledTimes(1);
  });
});

describe("a leaf whose renewal comes", () => {
  it("is replaced at that time and not before, by one with a new key", async () => {
    const { issue, sign, clock } = await setUp();
    const credentials = issue();
    const first = await next(credentials);
    const pending = next(credentials);
    await clock.sleeping(1);
    await clock.advance((first.renewalTime?.getTime() ?? 0) - clock.now().getTime() - 1);
    expect(sign).toHaveBeenCalledTimes(1);
    await clock.advance(1);
    const second = await pending;
    expect(second.chain[0].serialNumber).not.toBe(first.chain[0].serialNumber);
    expect(key(second)).not.toBe(key(first));
    expect(sign).toHaveBeenCalledTimes(2);
  });

  it("is replaced within a minute when the clock has stepped forwards past it", async () => {
    const { issue, sign, clock } = await setUp();
    const credentials = issue();
    await next(credentials);
    const pending = next(credentials);
    await clock.sleeping(1);
    clock.set(new Date("2026-01-01T00:58:00Z"));
    await clock.advance(60_000);
    await pending;
    expect(sign).toHaveBeenCalledTimes(2);
  });

  it("stays until the clock shows its time again, when the clock has stepped backwards", async () => {
    const { issue, sign, clock } = await setUp();
    const credentials = issue();
    const { renewalTime = new Date() } = await next(credentials);
    const pending = next(credentials);
    await clock.sleeping(1);
    clock.set(new Date("2025-12-31T23:00:00Z"));
    await clock.advance(hourMs);
    expect(sign).toHaveBeenCalledTimes(1);
    await advanceTo(clock, renewalTime);
    await pending;
  });

  it("is asked for once, however slow the consumer is", async () => {
    const { issue, sign, clock } = await setUp();
    const credentials = issue();
    await next(credentials);
    await clock.advance(10 * hourMs);
    await next(credentials);
    expect(sign).toHaveBeenCalledTimes(2);
  });
});

describe("roots that change", () => {
  it("are published at once under the old leaf, which is replaced after its jitter", async () => {
    const { issue, authority, clock, sign } = await setUp();
    const credentials = issue();
    const first = await next(credentials);
    await authority.rotateRoot();
    const union = await next(credentials);
    expect(union.chain).toBe(first.chain);
    expect(union.bundle).toHaveLength(2);
    const due = new Date(clock.now().getTime() + rootChangeJitterMs(first.chain[0]));
    expect(union.renewalTime).toEqual(due);
    const pending = next(credentials);
    await clock.sleeping(1);
    await advanceTo(clock, due);
    const second = await pending;
    expect(second.chain).toHaveLength(2);
    expect(sign).toHaveBeenCalledTimes(2);
    authority.dropRoot(first.bundle[0]?.fingerprint ?? "");
    const pruned = await next(credentials);
    expect(pruned.chain).toBe(second.chain);
    expect(pruned.bundle).toHaveLength(1);
    expect(pruned.renewalTime).toEqual(second.renewalTime);
  });

  it("do not put off a renewal that is due before", async () => {
    const { issue, authority, clock } = await setUp();
    const credentials = issue();
    const { renewalTime = new Date() } = await next(credentials);
    clock.set(new Date(renewalTime.getTime() - 1));
    await authority.rotateRoot();
    expect((await next(credentials)).renewalTime).toEqual(renewalTime);
  });

  it("yield nothing when the same roots are listed again, in another order or twice", async () => {
    const { issue, authority, roots, clock } = await setUp();
    await authority.rotateRoot();
    const credentials = issue();
    await next(credentials);
    const listed = roots.value ?? [];
    const pending = next(credentials);
    for (let times = 0; times < 3; times += 1) {
      roots.publish([...listed, ...listed].reverse());
      await new Promise(setImmediate);
    }
    expect(clock.sleeps).toHaveLength(1);
    await authority.rotateRoot();
    expect((await pending).bundle).toHaveLength(3);
  });

  it("stay beside the leaf's own, and replace the leaf soon, when it leads to none of them", async () => {
    const { issue, authority, roots, clock } = await setUp();
    const credentials = issue();
    const first = await next(credentials);
    const { certificate } = await authority.rotateRoot();
    roots.publish([certificate]);
    const kept = await next(credentials);
    expect(kept.chain).toBe(first.chain);
    expect(fingerprints(kept.bundle)).toEqual(fingerprints([...first.bundle, certificate]));
    const pending = next(credentials);
    await clock.sleeping(1);
    await advanceTo(clock, kept.renewalTime ?? new Date());
    expect(fingerprints((await pending).bundle)).toEqual([certificate.fingerprint]);
  });

  it("leave the leaf its time while it leads to one of them, in a mesh that cross-signs nothing", async () => {
    const { issue, authority, roots, clock, sign } = await setUp();
    const credentials = issue({ crossSigns: false });
    const first = await next(credentials);
    const { certificate } = await authority.rotateRoot();
    const united = await next(credentials);
    expect(united).toMatchObject({ chain: first.chain, renewalTime: first.renewalTime });
    expect(united.bundle).toHaveLength(2);
    roots.publish([certificate]);
    const late = await next(credentials);
    expect(late.bundle).toEqual(united.bundle);
    expect(late.renewalTime).toEqual(new Date(clock.now().getTime() + rootChangeJitterMs(first.chain[0])));
    expect(sign).toHaveBeenCalledTimes(1);
  });
});

describe("an identity with a current credential", () => {
  it("goes on from it without asking, to the time of renewal that it had before", async () => {
    const { issue, sign, clock } = await setUp();
    const current = await next(issue());
    await clock.advance(1000);
    const adopted = await next(issue({ current }));
    expect(adopted.chain).toBe(current.chain);
    expect(adopted.renewalTime).toEqual(current.renewalTime);
    expect(sign).toHaveBeenCalledTimes(1);
  });

  it("replaces it after its jitter when the mesh lists a new root meanwhile", async () => {
    const { issue, authority, clock } = await setUp();
    const current = await next(issue());
    await authority.rotateRoot();
    const adopted = await next(issue({ current }));
    expect(adopted.bundle).toHaveLength(2);
    expect(adopted.renewalTime).toEqual(
      new Date(clock.now().getTime() + rootChangeJitterMs(current.chain[0])),
    );
  });

  it("asks at once when its renewal has been missed", async () => {
    const { issue, sign, clock } = await setUp();
    const current = await next(issue());
    await advanceTo(clock, current.renewalTime ?? new Date());
    const credentials = issue({ current });
    await next(credentials);
    await next(credentials);
    expect(sign).toHaveBeenCalledTimes(2);
  });

  it.each<[string, (current: Credential, setting: Setting) => Promise<Credential>]>([
    [
      "has expired",
      async (current, { clock }) => {
        await advanceTo(clock, current.chain[0].notAfter);
        return current;
      },
    ],
    [
      "is of another identity",
      async (current, { authority }) => ({
        ...current,
        ...(await authority.issue({ uri: "spiffe://dev.example/other" })),
      }),
    ],
    [
      "has the key of another leaf",
      async (current, { authority }) => ({ ...current, key: (await authority.issue({ uri: spiffeId })).key }),
    ],
    [
      "leads to no root that is listed",
      async (current, { authority }) => {
        const { certificate } = await authority.rotateRoot();
        for (const root of authority.roots())
          if (!root.active) authority.dropRoot(root.certificate.fingerprint);
        expect(authority.roots()[0]?.certificate).toBe(certificate);
        return current;
      },
    ],
  ])("asks at once when that %s", async (_what, spoil) => {
    const setting = await setUp();
    const current = await spoil(await next(setting.issue()), setting);
    const credential = await next(setting.issue({ current }));
    expect(setting.sign).toHaveBeenCalledTimes(2);
    expect(credential.chain[0].fingerprint).not.toBe(current.chain[0].fingerprint);
  });
});

describe("a mesh that does not sign as it should", () => {
  it("ends the issuance with its own error, and can be asked again", async () => {
    const { issue, sign } = await setUp();
    const error = new MeshError("ATTACHE_MESH_FORBIDDEN", "service:write is missing");
    sign.mockRejectedValueOnce(error);
    await expect(next(issue())).rejects.toBe(error);
    await next(issue());
  });

  it.each<[string, (setting: Setting) => Promise<readonly Certificate[]>, RegExp]>([
    ["nothing", () => Promise.resolve([]), /no certificate/],
    [
      "for another key",
      async ({ authority }) => (await authority.issue({ uri: spiffeId })).chain,
      /another key than that of the CSR/,
    ],
  ])("is malformed when it signs %s", async (_what, answer, message) => {
    const setting = await setUp();
    setting.sign.mockImplementationOnce(() => answer(setting));
    await expect(next(setting.issue())).rejects.toThrow(message);
    await expect(next(setting.issue({ sign: () => answer(setting) }))).rejects.toMatchObject({
      code: "ATTACHE_MESH_MALFORMED",
      retryable: true,
    });
  });

  it("is malformed when the leaf has expired, or leads to no root", async () => {
    const { issue, sign, roots, clock } = await setUp();
    const stranger = await createAuthority({ trustDomain: "dev.example", clock });
    const usual = sign.getMockImplementation();
    sign.mockImplementationOnce(async (csr, signal) => {
      const signed = (await usual?.(csr, signal)) ?? [];
      clock.set(new Date("2026-01-01T01:00:00Z"));
      return signed;
    });
    await expect(next(issue())).rejects.toThrow(/has expired at 2026-01-01T01:00:00.000Z already/);
    roots.publish(stranger.roots().map(({ certificate }) => certificate));
    await expect(next(issue())).rejects.toThrow(/leads to no root/);
  });
});

describe("an issuance that is aborted", () => {
  const reason = new Error("the identity was deleted");

  it.each<[string, (setting: Setting) => Partial<IssuanceRequest>]>([
    ["the roots", () => ({ roots: new LatestValue() })],
    ["a signature, and the signer ignores the abort", () => ({ sign: () => new Promise(() => undefined) })],
  ])("ends with the reason while it waits for %s", async (_what, request) => {
    const setting = await setUp();
    const pending = next(setting.issue(request(setting)));
    await new Promise(setImmediate);
    setting.abort(reason);
    await expect(pending).rejects.toBe(reason);
  });

  it("ends with the reason while it waits for the renewal, and leaves nothing behind", async () => {
    const { issue, clock, roots, abort } = await setUp();
    const credentials = issue();
    await next(credentials);
    const pending = next(credentials);
    await clock.sleeping(1);
    abort(reason);
    await expect(pending).rejects.toBe(reason);
    expect(clock.sleeps).toEqual([]);
    expect(roots.isWatched).toBe(false);
  });

  it("leaves nothing behind either when its consumer leaves", async () => {
    const { issue, clock, roots } = await setUp();
    const credentials = issue();
    await next(credentials);
    await credentials.return(undefined as never);
    expect(clock.sleeps).toEqual([]);
    expect(roots.isWatched).toBe(false);
  });
});
