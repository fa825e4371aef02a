import { expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { consumerOf } from "../emissary/consumer.ts";
import { Emissary, type Trouble } from "./emissary.ts";
import type { Pod } from "./pods.ts";

it("remembers what is wrong of no more pods and clusters than there are, although it never comes right", async () => {
  const clock = manualClock();
  const all = new Map<string, Pod>();
  let podsChanged: () => void = () => undefined;
  await using emissary = new Emissary({
    name: "emissary/admin",
    namespace: "emissary",
    ambassadorIds: ["default"],
    nudgeAfterMs: 2_000,
    pods(onChange) {
      podsChanged = onChange;
      return {
        all,
        health: { what: "pods", isSynced: true, state: "synced" },
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
    },
    ask: () => Promise.resolve({ hasEnvoy: true, reconfigurationMs: 0, clusters: new Map() }),
    clock,
    onAnswer: () => undefined,
    onPods: () => undefined,
  });
  const contexts = [{ name: "web", ambassadorIds: ["default"] }];
  const wanted = { leaf: 2_000, root: 9_000 };
  // As another Emissary has it.
  const troubles = new Map<string, Trouble>([
    ["emissary/other pod-1/10.0.0.1 web", { kind: "absent", since: clock.now(), sinceMs: 0 }],
  ]);
  for (let round = 0; round < 5; round += 1) {
    const metadata = { namespace: "emissary", name: "bad", uid: "bad" };
    const consumer = consumerOf("Mapping", { metadata, spec: { service: `bad-${round}`, tls: "web" } });
    emissary.consumersChanged(consumer && [consumer]);
    all.clear();
    all.set(`pod-${round}`, { name: `pod-${round}`, address: "10.0.0.1" });
    podsChanged();
    for (const probe of emissary.probes) probe.want(true);
    await clock.advance(1_000);
    const look = emissary.look({ contexts, wanted, sinceMs: 0, troubles });
    expect(look?.finding.pods).toMatchObject([{ clusters: [{ sight: { kind: "absent" } }] }]);
    expect(troubles.size).toBe(2);
  }
});
