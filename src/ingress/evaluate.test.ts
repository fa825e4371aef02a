import { describe, expect, it } from "vitest";
import { Clusters } from "../emissary/clusters.ts";
import { consumerOf } from "../emissary/consumer.ts";
import { evaluate, least, noProblems } from "./evaluate.ts";
import type { EmissaryObservation, PodObservation } from "./observation.ts";

const contexts = [{ name: "web", ambassadorIds: ["default"] }];
const now = { date: new Date("2026-01-01"), elapsedMs: 60_000 };

function search(problems = noProblems) {
  return {
    contexts,
    wanted: { leaf: 2_000, root: 9_000 },
    leafNotAfter: new Date(2_000_000),
    sinceMs: 0,
    problems,
  };
}

/** An Emissary with one Mapping, and pods that show these leaves of its cluster. */
function emissary(
  name: string,
  service: string,
  pods: Record<string, number[] | undefined>,
): EmissaryObservation {
  const metadata = { namespace: "emissary", name: service, uid: service };
  const consumer = consumerOf("Mapping", { metadata, spec: { service, tls: "web" } });
  const view = { ambassadorIds: ["default"], namespace: "emissary" };
  const clusters = new Clusters(consumer ? [consumer] : [], view);
  return {
    ...{
      name,
      clusters,
      consumersMs: 0,
      gracePeriodMs: 2_000,
      reconfigMaxDelayMs: 1_000,
      touches: "TLSContext",
      mappingsMs: 0,
      problem: undefined,
    },
    ambassadorIds: ["default"],
    pods: Object.entries(pods).map(([pod, leaves]): PodObservation => {
      const shown = new Map(
        leaves && [[service.replace("-", "_"), { leaves, roots: [9_000], hasTls: leaves.length > 0 }]],
      );
      const page = { clusters: shown, hasEnvoy: true, hasCertificates: true, bytes: 1_000 };
      return {
        pod: { name: pod, address: "10.0.0.1" },
        seenAt: now.date,
        answer: { page, wanted: clusters.names, askedMs: 10_000, askedAt: now.date },
        failure: undefined,
        ...{ isResponsive: true, progress: undefined, neededMs: 1_000, gracePeriodMs: 2_000 },
      };
    }),
  };
}

describe("an evaluation", () => {
  it("keeps since when something is wrong, of no more pods and clusters than there are", () => {
    const other = emissary("emissary/other", "web", { "pod-1": undefined });
    let problems = noProblems;
    for (let round = 0; round < 5; round += 1) {
      const changing = emissary("emissary/admin", `bad${round}`, { [`pod-${round}`]: undefined });
      ({ problems } = evaluate(search(problems), [other, changing], { ...now, elapsedMs: 60_000 + round }));
      expect([...problems.keys()]).toEqual([
        "emissary/other pod-1/10.0.0.1 web",
        `emissary/admin pod-${round}/10.0.0.1 bad${round}`,
      ]);
    }
    expect([...problems.values()].map(({ sinceMs }) => sinceMs)).toEqual([10_000, 10_000]);
  });

  it("says the same of the same, and changes nothing that it is given", () => {
    const observations = [emissary("emissary/admin", "web", { one: [2_000], two: [1_000], three: [] })];
    const given = search();
    const before = structuredClone({ given, pods: observations[0]?.pods });
    const first = evaluate(given, observations, now);
    expect(evaluate(given, observations, now)).toEqual(first);
    expect({ given, pods: observations[0]?.pods }).toEqual(before);
    expect(first.condition?.reason).toBe("Exposed");
    expect(first.emissaries[0]?.exposures).toMatchObject([{ severity: "plaintext", reason: "Exposed" }]);
  });

  it("remembers nothing once all is served", () => {
    const wrong = evaluate(search(), [emissary("emissary/admin", "web", { one: [1_000] })], now);
    expect([wrong.condition?.reason, wrong.problems.size]).toEqual(["NotTaken", 1]);
    const right = evaluate(
      search(wrong.problems),
      [emissary("emissary/admin", "web", { one: [2_000] })],
      now,
    );
    expect([right.condition?.reason, right.problems.size]).toEqual(["Served", 0]);
  });
});

describe("the least", () => {
  it("of half a million numbers is found", () => {
    expect(least(Array.from({ length: 500_000 }, (_, index) => 500_000 - index))).toBe(1);
    expect(least([undefined])).toBeUndefined();
  });
});
