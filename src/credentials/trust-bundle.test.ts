import { describe, expect, it } from "vitest";
import { createRoot, Extension } from "../../test/fixtures/pki.ts";
import type { Certificate } from "./certificate.ts";
import { maxRetainedBytes, retain, type RetentionInput, union } from "./trust-bundle.ts";

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
      nextRetireAt: inHours(24),
    });
  });

  it("drop a root at once where nothing is retained", () => {
    expect(retention({ listed: [b], published: [a, b], retainMs: 0 })).toEqual({
      bundle: [b],
      roots: [active(b)],
    });
  });

  it("remember since when a root retires, also when the setting changes", () => {
    const previouslyRetained = [{ certificate: a, retireAt: inHours(3) }];
    for (const retainMs of [0, 24 * hour]) {
      const { roots, nextRetireAt } = retention({
        listed: [b],
        published: [a, b],
        previouslyRetained,
        retainMs,
      });
      expect(roots).toEqual([retiring(a, inHours(3)), active(b)]);
      expect(nextRetireAt).toEqual(inHours(3));
    }
  });

  it("lose a root at its time", () => {
    const previouslyRetained = [{ certificate: a, retireAt: now }];
    expect(retention({ listed: [b], published: [a, b], previouslyRetained }).bundle).toEqual([b]);
  });

  it("hold a retiring root that is remembered and was not published, as after a crash between two writes", () => {
    const previouslyRetained = [{ certificate: a, retireAt: inHours(3) }];
    expect(retention({ listed: [b], published: [b], previouslyRetained }).roots).toEqual([
      active(b),
      retiring(a, inHours(3)),
    ]);
  });

  it("have a root active again when it is listed again, and give it the full time when it goes once more", () => {
    const previouslyRetained = [{ certificate: a, retireAt: inHours(3) }];
    expect(retention({ listed: [a, b], published: [a, b], previouslyRetained }).roots).toEqual([
      active(a),
      active(b),
    ]);
    expect(retention({ listed: [b], published: [a, b], retainMs: 24 * hour }).nextRetireAt).toEqual(
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
      ).toEqual({ bundle: [b], roots: [active(b)] });
    }
  });

  it("name the first of several times at which one retires", () => {
    const previouslyRetained = [
      { certificate: a, retireAt: inHours(5) },
      { certificate: b, retireAt: inHours(2) },
    ];
    expect(retention({ listed: [c], previouslyRetained }).nextRetireAt).toEqual(inHours(2));
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
    const { bundle, nextRetireAt } = retention({ listed: [a], previouslyRetained });
    const last6 = previouslyRetained.slice(-6).map(({ certificate }) => certificate);
    expect(bundle).toEqual([a, ...last6]);
    expect(nextRetireAt).toEqual(inHours(5));
    expect(last6.reduce((sum, { der }) => sum + der.length, 0)).toBeLessThanOrEqual(maxRetainedBytes);
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
