import { describe, expect, it } from "vitest";
import type { Condition, Status } from "../../api/mesh-certificate.ts";
import { statusEvents } from "./status-events.ts";

function condition(
  type: Condition["type"],
  status: Condition["status"],
  reason: string,
  message = "So it is.",
): Condition {
  return { type, status, reason, message, lastTransitionTime: "2026-01-01T00:00:00.000Z" };
}

const good = [condition("Ready", "True", "Valid"), condition("SourceReady", "True", "Received")];
const waiting = [condition("Ready", "False", "NotPublished"), condition("SourceReady", "Unknown", "Waiting")];

function eventsOf(previous: Status | undefined, next: Status): string[] {
  return statusEvents(previous, next).map(({ type, reason, action }) => `${type} ${reason} (${action})`);
}

describe("what has happened between two statuses", () => {
  it("is nothing while the first credential is waited for", () => {
    expect(eventsOf(undefined, { conditions: waiting })).toEqual([]);
  });

  it("is what is well for the first time", () => {
    expect(eventsOf({ conditions: waiting }, { conditions: good })).toEqual([
      "Normal Valid (Publish)",
      "Normal Received (Obtain)",
    ]);
  });

  it("is nothing when the same is said in other words, or it was so before a restart", () => {
    const reworded = good.map((one) => ({ ...one, message: "So it is, still." }));
    expect(eventsOf({ conditions: good }, { conditions: reworded })).toEqual([]);
  });

  it("is a warning for what is not well, also for another reason than before", () => {
    const away = [condition("SourceReady", "False", "Unreachable")];
    const refused = [condition("SourceReady", "False", "Forbidden")];
    expect(eventsOf({ conditions: good }, { conditions: away })).toEqual(["Warning Unreachable (Obtain)"]);
    expect(eventsOf({ conditions: away }, { conditions: refused })).toEqual(["Warning Forbidden (Obtain)"]);
  });

  it("is a warning for a deletion that has to wait, and none for its end", () => {
    const inUse = [condition("Terminating", "True", "InUse")];
    const over = [condition("Terminating", "True", "Withdrawing")];
    expect(eventsOf({ conditions: [] }, { conditions: inUse })).toEqual(["Warning InUse (Withdraw)"]);
    expect(eventsOf({ conditions: inUse }, { conditions: over })).toEqual(["Normal Withdrawing (Withdraw)"]);
  });

  it("is a rotation, but not the first leaf", () => {
    const first = {
      conditions: good,
      serialNumber: "01",
      spiffeId: "spiffe://dc1/web",
      notAfter: "2026-01-02",
    };
    expect(eventsOf({ conditions: good }, first)).toEqual([]);
    const [event] = statusEvents(first, { ...first, serialNumber: "02", notAfter: "2026-01-03" });
    expect(event?.note).toBe(
      "A new leaf of spiffe://dc1/web is published: serial number 02, valid until 2026-01-03.",
    );
  });

  it("is a change of roots, in whatever order they stand", () => {
    const root = (fingerprint: string, state: "active" | "retiring" = "active") => {
      return { fingerprint, state, notAfter: "2027-01-01T00:00:00.000Z" };
    };
    const before = { conditions: good, roots: [root("a"), root("b")] };
    expect(eventsOf(before, { ...before, roots: [root("b"), root("a")] })).toEqual([]);
    const [event] = statusEvents(before, { ...before, roots: [root("a", "retiring"), root("b")] });
    expect(event?.note).toBe("The published roots have changed: 1 that the mesh lists, 1 that retire.");
  });
});
