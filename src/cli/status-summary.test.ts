import { describe, expect, it } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import type { Condition, Status } from "../api/status.ts";
import type { IdentityView } from "../store/store.ts";
import { isAlarming } from "../doctor/identity-problems.ts";
import { adviceOn, answersOf } from "./status-summary.ts";

const now = new Date("2026-01-01T00:00:00.000Z");

type Reported = Pick<Condition, "type" | "status" | "reason" | "message">;

function view(name: string, conditions: readonly Reported[], more: Partial<Status> = {}): IdentityView {
  return {
    identity: identity(name),
    status: {
      conditions: conditions.map((one) => ({ ...one, lastTransitionTime: now.toISOString() })),
      ...more,
    },
    installations: ["attache"],
    manifests: () => Promise.resolve([]),
  };
}

const ready: Reported = { type: "Ready", status: "True", reason: "Valid", message: "Valid." };

function unreachable(name: string): IdentityView {
  return view(name, [
    { type: "Ready", status: "False", reason: "NotPublished", message: "No certificate is published yet." },
    {
      type: "SourceReady",
      status: "False",
      reason: "Unreachable",
      message: `cannot connect to mesh "consul" for emissary/${name} since 2026-01-01T00:00:0${name.length}.000Z.`,
    },
    { type: "Published", status: "False", reason: "Waiting", message: "There is nothing to publish yet." },
  ]);
}

describe("the advice of status", () => {
  it("names one cause of 200 identities once, without its consequences, and counts them", () => {
    const names = Array.from({ length: 200 }, (_, index) => `web-${index}`);
    const [advice, ...others] = adviceOn([], names.map(unreachable), now);
    expect(others).toEqual([]);
    expect(advice).toBe(
      '200 identities of mesh consul, SourceReady: cannot connect to mesh "consul" for emissary/web-0 since 2026-01-01T00:00:05.000Z.\n' +
        "  emissary/web-0, emissary/web-1, emissary/web-2, emissary/web-3, emissary/web-4, and 195 more",
    );
  });

  it("names each consumer that is exposed once, with its grade", () => {
    const usedBy = [
      { kind: "Mapping", namespace: "emissary", name: "quote", exposure: "plaintext" as const },
      { kind: "Mapping", namespace: "emissary", name: "safe" },
    ];
    const views = ["a", "b"].map((name) => view(name, [ready], { usedBy, usedByCount: 2 }));
    expect(adviceOn([], views, now)[0]).toContain("exposed: Mapping emissary/quote (plaintext).");
    expect(answersOf([], views, now)).toEqual(["consumers   1 plaintext, of 4", "identities  2 of 2 ready"]);
  });

  it("tells first that attaché does not work, and what to do", () => {
    const stopped = {
      name: "attaché",
      status: "failed",
      message: "does not work",
      remedy: "Start it.",
    } as const;
    expect(answersOf([stopped], [], now)).toEqual(["attaché     does not work"]);
    expect(adviceOn([stopped], [view("a", [ready])], now)).toEqual(["attaché: does not work\n  → Start it."]);
  });

  it("shows an identity that is deleted and in use", () => {
    const inUse = { type: "Terminating", status: "True", reason: "InUse", message: "In use by a." } as const;
    expect(adviceOn([], [view("a", [ready, inUse])], now)).toEqual(["emissary/a Terminating: In use by a."]);
  });
});

it.each([
  ["Protected", "Plaintext", true],
  ["Served", "Exposed", true],
  ["Served", "Frozen", true],
  ["Served", "NotTaken", false],
] as const)("status is an alarm where %s is False for %s: %j", (type, reason, alarming) => {
  expect(isAlarming(view("a", [ready, { type, status: "False", reason, message: "" }]), now)).toBe(alarming);
});
