import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLeaf, createRoot, Extension } from "../../test/fixtures/pki.ts";
import { ecKey, handMadeRoot, integer, sequence, utcTime } from "../../test/fixtures/der.ts";
import { oddCertificates } from "../../test/fixtures/odd-certificates.ts";
import { Certificate } from "./certificate.ts";
import { maxRetainedBytes, presentable, retain, type RetentionInput, union } from "./trust-bundle.ts";

const now = new Date("2030-06-01T12:00:00Z");
const hour = 3_600_000;
const inHours = (hours: number) => new Date(now.getTime() + hours * hour);

const { certificate: a } = await createRoot();
const { certificate: b } = await createRoot();
const { certificate: c } = await createRoot();

describe("a union of bundles", () => {
  it("holds each root once, in the order in which it first came", () => {
    expect(union([b, a, b], [c, a])).toEqual([b, a, c]);
    expect(union()).toEqual([]);
  });
});

describe("the roots to publish", () => {
  it("are those that the mesh lists, each once, all active", () => {
    expect(retention({ listed: [a, b, a] })).toEqual({
      bundle: [a, b],
      roots: [active(a), active(b)],
      nextChangeAt: a.notAfter,
      remarks: [],
    });
  });

  it("keep their places when the mesh lists them in another order, so that nothing is written", () => {
    expect(retention({ listed: [c, b, a], published: [a, b] }).bundle).toEqual([c, a, b]);
  });

  it("hold a new root before the old at once: Envoy shows the end of the first alone", () => {
    expect(retention({ listed: [a, b], published: [a] }).roots).toEqual([active(b), active(a)]);
  });

  it("hold a root that the mesh has dropped for a while, in its place", () => {
    expect(retention({ listed: [b], published: [a, b], retainMs: 24 * hour })).toEqual({
      bundle: [a, b],
      roots: [retiring(a, inHours(24)), active(b)],
      nextChangeAt: inHours(24),
      remarks: [],
    });
  });

  it("drop a root at once where nothing is retained", () => {
    expect(retention({ listed: [b], published: [a, b], retainMs: 0 })).toMatchObject({
      bundle: [b],
      roots: [active(b)],
    });
  });

  it("remember since when a root retires, also when the setting is higher now", () => {
    const previouslyRetained = [{ certificate: a, retireAt: inHours(3) }];
    const { roots, nextChangeAt } = retention({
      listed: [b],
      published: [a, b],
      previouslyRetained,
      retainMs: 24 * hour,
    });
    expect(roots).toEqual([retiring(a, inHours(3)), active(b)]);
    expect(nextChangeAt).toEqual(inHours(3));
  });

  it("hold no root longer than the setting says, whatever stands in the record", () => {
    const previouslyRetained = [{ certificate: a, retireAt: inHours(600_000) }];
    const input = { listed: [b], published: [a, b], previouslyRetained };
    expect(retention({ ...input, retainMs: 24 * hour }).roots).toEqual([retiring(a, inHours(24)), active(b)]);
    expect(retention({ ...input, retainMs: 0 }).bundle).toEqual([b]);
  });

  it("lose a root at its time", () => {
    const previouslyRetained = [{ certificate: a, retireAt: now }];
    expect(retention({ listed: [b], published: [a, b], previouslyRetained }).bundle).toEqual([b]);
  });

  it("hold a retiring root that is remembered and was not published, as after a crash between two writes", () => {
    const previouslyRetained = [{ certificate: a, retireAt: inHours(3) }];
    expect(retention({ listed: [b], published: [b], previouslyRetained, retainMs: 24 * hour }).roots).toEqual(
      [active(b), retiring(a, inHours(3))],
    );
  });

  it("have a root active again when it is listed again, and give it the full time when it goes once more", () => {
    const previouslyRetained = [{ certificate: a, retireAt: inHours(3) }];
    expect(retention({ listed: [a, b], published: [a, b], previouslyRetained }).roots).toEqual([
      active(a),
      active(b),
    ]);
    expect(retention({ listed: [b], published: [a, b], retainMs: 24 * hour }).nextChangeAt).toEqual(
      inHours(24),
    );
  });

  it("hold no dropped root past its own end", async () => {
    const { certificate: ending } = await createRoot({ notAfter: inHours(1) });
    const { certificate: ended } = await createRoot({ notAfter: now });
    const { roots } = retention({ listed: [b], published: [ending, ended], retainMs: 24 * hour });
    expect(roots).toEqual([active(b), retiring(ending, inHours(1))]);
  });

  it("hold a distrusted root for as long as the mesh lists it, and no longer", () => {
    const distrusted = [a.fingerprint];
    const previouslyRetained = [{ certificate: a, retireAt: inHours(3) }];
    expect(retention({ listed: [a, b], published: [a, b], distrusted }).roots).toEqual([
      active(a),
      active(b),
    ]);
    for (const published of [[a, b], [b]]) {
      expect(
        retention({ listed: [b], published, previouslyRetained, retainMs: 24 * hour, distrusted }),
      ).toMatchObject({ bundle: [b], roots: [active(b)] });
    }
  });

  it("name the first of several times at which one retires", () => {
    const previouslyRetained = [
      { certificate: a, retireAt: inHours(5) },
      { certificate: b, retireAt: inHours(2) },
    ];
    expect(retention({ listed: [c], previouslyRetained, retainMs: 24 * hour }).nextChangeAt).toEqual(
      inHours(2),
    );
  });

  it("do not grow without end under a mesh that changes its root all the time", async () => {
    const padding = new Extension("1.3.6.1.4.1.99999.1", false, new Uint8Array(20 * 1024));
    const previouslyRetained = await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        return {
          certificate: (await createRoot({ extensions: [padding] })).certificate,
          retireAt: inHours(1 + index),
        };
      }),
    );
    const { bundle, nextChangeAt } = retention({ listed: [a], previouslyRetained, retainMs: 24 * hour });
    const last6 = previouslyRetained.slice(-6).map(({ certificate }) => certificate);
    expect(bundle).toEqual([a, ...last6]);
    expect(nextChangeAt).toEqual(inHours(5));
    expect(last6.reduce((sum, { der }) => sum + der.length, 0)).toBeLessThanOrEqual(maxRetainedBytes);
  });
});

describe("a root that Envoy or Emissary cannot use", () => {
  const made = (what: string) => {
    const odd = oddCertificates.find((one) => one.role === "authority" && one.what === what);
    return new Certificate(odd?.made.der ?? Buffer.alloc(0));
  };
  const today = new Date();

  it("is left out where Envoy would refuse the whole configuration for it", () => {
    const odd = made("version 1 with extensions");
    expect(presentable([odd, a], today)).toEqual({
      bundle: [a],
      remarks: [
        {
          fingerprint: odd.fingerprint,
          reason: "UnreadableByEnvoy",
          message:
            'The root "CN=hand-made root" is left out, since Envoy does not read it: it has version 1 with extensions.',
        },
      ],
    });
  });

  it("stays where only Go cannot read it, but does not stand first", () => {
    const odd = made("a negative serial number");
    const { bundle, remarks } = presentable([odd, a, b], today);
    expect(bundle).toEqual([a, odd, b]);
    expect(remarks).toMatchObject([
      {
        reason: "UnreadableByEmissary",
        message: expect.stringContaining("is not read by Emissary") as string,
      },
    ]);
  });

  it("does not stand first either where it outlasts one of its name and key", () => {
    const key = ecKey();
    const lasting = sequence(utcTime(new Date(0)), utcTime(new Date("2040-01-01T00:00:00Z")));
    const plain = new Certificate(handMadeRoot({}, key).der);
    const odd = new Certificate(handMadeRoot({ serial: integer(0x80, 1), validity: lasting }, key).der);
    expect(presentable([plain, odd], today).bundle).toEqual([plain, odd]);
    expect(presentable([odd, plain], today).bundle).toEqual([plain, odd]);
  });

  it("stays where only its extensions are malformed", () => {
    const odd = made("a malformed key usage");
    expect(presentable([a, odd], today).bundle).toEqual([a, odd]);
  });

  it("is named where its key is of a kind that nothing here knows", () => {
    expect(presentable([a, made("a key of an unknown kind")], today).remarks).toMatchObject([
      {
        message: 'The root "CN=hand-made root" verifies nothing in Envoy: its key is of the type 1.2.3.4.5.',
      },
    ]);
  });
});

describe("a root that has ended", async () => {
  const ended = await createRoot({ notAfter: inHours(-1) });
  const endedEarlier = (await createRoot({ notAfter: inHours(-2) })).certificate;
  const renewed = (await createRoot({ keys: ended.keys, subject: ended.subject })).certificate;

  it("is left out while another one is left, in every order", () => {
    for (const roots of [
      [ended.certificate, renewed],
      [renewed, ended.certificate],
    ]) {
      expect(presentable(roots, now).bundle).toEqual([renewed]);
    }
  });

  it("stays where there is no other: the one that ended last", () => {
    const { bundle, remarks } = presentable([endedEarlier, ended.certificate], now);
    expect(bundle).toEqual([ended.certificate]);
    expect(remarks.map(({ message }) => message.endsWith("is left out."))).toEqual([true, false]);
  });

  it("is looked at again when it ends", () => {
    expect(retention({ listed: [ended.certificate, renewed], now: inHours(-3) }).nextChangeAt).toEqual(
      inHours(-1),
    );
  });

  it("stands behind the one with its name and key that lasts longest, while both last", () => {
    const before = inHours(-3);
    expect(presentable([ended.certificate, a, renewed], before).bundle).toEqual([
      renewed,
      a,
      ended.certificate,
    ]);
  });
});

describe("two roots of one name", () => {
  it("are named where they have other keys and no key identifiers", async () => {
    const subject = "CN=twin";
    const twins = [
      await createRoot({ subject, hasKeyIds: false }),
      await createRoot({ subject, hasKeyIds: false }),
    ];
    const { remarks } = presentable(
      twins.map(({ certificate }) => certificate),
      now,
    );
    expect(remarks).toHaveLength(2);
    expect(remarks[0]?.message).toContain("Envoy tries only the first");
  });

  it("stand so that Envoy, which tries only the first, finds the one of the leaf", async () => {
    const subject = "CN=twin";
    const [right, wrong] = [
      await createRoot({ subject, hasKeyIds: false }),
      await createRoot({ subject, hasKeyIds: false }),
    ];
    const chain = [(await createLeaf(right, { hasKeyIds: false })).certificate] as const;
    for (const roots of [
      [wrong, a, right],
      [right, a, wrong],
    ].map((list) => list.map((one) => ("certificate" in one ? one.certificate : one)))) {
      expect(presentable(roots, now, chain).bundle.find((root) => root.subject === subject)).toBe(
        right.certificate,
      );
    }
  });

  it("are not named where key identifiers tell them apart", async () => {
    const subject = "CN=twin";
    const twins = [await createRoot({ subject }), await createRoot({ subject })];
    expect(
      presentable(
        twins.map(({ certificate }) => certificate),
        now,
      ).remarks,
    ).toEqual([]);
  });
});

describe("whatever the clock and the bundles do", () => {
  it("publishes a root as long as the mesh lists one that Envoy reads", async () => {
    const roots = await Promise.all(
      [-40, -2, 3, 50].map(async (hours) => (await createRoot({ notAfter: inHours(hours) })).certificate),
    );
    const subset = fc.subarray([...roots, a, b]);
    fc.assert(
      fc.property(
        fc.array(
          fc.record({ listed: subset, hours: fc.integer({ min: -60, max: 60 }), retain: fc.nat(30) }),
          {
            minLength: 1,
            maxLength: 8,
          },
        ),
        (steps) => {
          let published: readonly Certificate[] = [];
          for (const { listed, hours, retain: retained } of steps.filter((step) => step.listed.length > 0)) {
            published = retention({
              listed,
              published,
              retainMs: retained * hour,
              now: inHours(hours),
            }).bundle;
            expect(published).not.toEqual([]);
          }
        },
      ),
    );
  });
});

function retention(input: Partial<RetentionInput>) {
  return retain({ listed: [], published: [], previouslyRetained: [], retainMs: 0, now, ...input });
}

function active({ fingerprint, notAfter }: Certificate) {
  return { fingerprint, notAfter, state: "active" };
}

function retiring({ fingerprint, notAfter }: Certificate, retireAt: Date) {
  return { fingerprint, notAfter, state: "retiring", retireAt };
}
