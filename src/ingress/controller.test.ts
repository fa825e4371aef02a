import { describe, expect, it } from "vitest";
import { share } from "../../test/fixtures/cases.ts";
import { type FakeIngress, fakeIngress } from "../../test/fixtures/fake-ingress.ts";
import { IngressError } from "./scraper.ts";

/** One pod and one Mapping, which has what is published: a leaf that ends at 2,000 s. */
async function settled(): Promise<FakeIngress> {
  const fake = fakeIngress();
  fake.mapping("web", { service: "web", tls: "web" });
  fake.add("pod-1");
  fake.take("web", 2_000);
  fake.publish("web", 2_000);
  await fake.clock.advance(10_000);
  expect(fake.served()).toBe("True/Served");
  return fake;
}

describe("what is published", () => {
  it("is served once every pod has it in every cluster", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    fake.mapping("cart", { service: "cart:8080", tls: "web" });
    fake.add("pod-1", { clusters: new Map([["web", { leaf: 2_000, root: 9_000 }]]) });
    fake.add("pod-2", {
      clusters: new Map([
        ["web", { leaf: 2_000, root: 9_000 }],
        ["cart_8080", { leaf: 2_000, root: 9_000 }],
      ]),
    });
    fake.publish("web", 2_000);
    await fake.clock.advance(160);
    expect(fake.served()).toBe("Unknown/Waiting");
    fake.take("cart_8080", 2_000);
    await fake.clock.advance(1_000);
    expect(fake.served()).toBe("True/Served");
    expect(fake.message()).toBe("2 of 2 pods, 2 of 2 clusters.");
    expect(fake.servedMs).toHaveLength(1);
  });

  it("is asked for 150 ms after it was written, and then on patrol only", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    const pod = fake.add("pod-1");
    await fake.clock.advance(60_000);
    expect(pod.asked).toBe(0);
    fake.take("web", 2_000);
    fake.publish("web", 2_000);
    await fake.clock.advance(149);
    expect(pod.asked).toBe(0);
    await fake.clock.advance(1);
    expect([pod.asked, fake.served()]).toEqual([1, "True/Served"]);
    await fake.clock.advance(47_000);
    expect(pod.asked).toBe(1);
    await fake.clock.advance(13_000);
    expect(pod.asked).toBe(2);
    await fake.clock.advance(3_600_000);
    expect([pod.asked > 60, pod.asked < 80, fake.nudges]).toEqual([true, true, []]);
    fake.ingress.forget({ metadata: { name: "web", namespace: "emissary" } });
    await fake.clock.advance(60_000);
    expect(fake.clock.sleeps).toEqual([]);
  });

  it("is asked for at growing intervals while it is missing", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    const pod = fake.pods.get("pod-1");
    if (pod === undefined) throw new Error("no pod");
    pod.asked = 0;
    await fake.clock.advance(2_000);
    expect(pod.asked).toBe(3);
    await fake.clock.advance(120_000);
    expect(pod.asked).toBeLessThan(80);
  });

  it("stays served meanwhile, and reports nothing that takes its usual time", async () => {
    await using fake = await settled();
    fake.changed.length = 0;
    fake.publish("web", 3_000);
    await fake.clock.advance(1_000);
    expect(fake.served()).toBe("True/Served");
    fake.take("web", 3_000);
    await fake.clock.advance(2_000);
    expect([fake.served(), fake.nudges]).toEqual(["True/Served", []]);
    expect(fake.servedMs.at(-1)).toBeLessThan(2_000);
  });

  it("is unused where nothing names it, and no pod is asked", async () => {
    await using fake = fakeIngress();
    const pod = fake.add("pod-1");
    fake.publish("web", 2_000);
    await fake.clock.advance(10_000);
    expect([fake.served(), pod.asked]).toEqual(["True/Unused", 0]);
    fake.mapping("web", { service: "web", tls: "web" });
    fake.take("web", 2_000);
    await fake.clock.advance(1_000);
    expect(fake.served()).toBe("True/Served");
  });

  it("counts when the roots are there, too", async () => {
    await using fake = await settled();
    fake.publish("web", 2_000, { root: 9_500 });
    await fake.clock.advance(3_000);
    expect(fake.served()).toBe("False/NotTaken");
    expect(fake.message()).toContain("verifies by other roots");
    fake.take("web", 2_000, 9_500);
    await fake.clock.advance(10_000);
    expect(fake.served()).toBe("True/Served");
  });

  it("is believed by time where the new leaf ends at the same second as the old", async () => {
    await using fake = await settled();
    const pod = fake.pods.get("pod-1");
    fake.publish("web", 2_000, { fingerprint: "another" });
    const asked = pod?.asked ?? 0;
    await fake.clock.advance(1_000);
    expect([fake.served(), pod?.asked, fake.nudges]).toEqual(["True/Served", asked + 1, []]);
  });

  it("is nudged for once where that happens while a Mapping changes", async () => {
    await using fake = await settled();
    fake.publish("web", 2_000, { fingerprint: "another" });
    await fake.clock.advance(1_000);
    fake.churn();
    await fake.clock.advance(60_000);
    expect(fake.nudges).toEqual(["web"]);
  });
});

describe("a rotation that an ingress has missed", () => {
  it("is reported with pod, cluster, what it has, and since when", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    await fake.clock.advance(5_000);
    expect(fake.served()).toBe("False/NotTaken");
    expect(fake.message()).toMatch(
      /^pod pod-1, cluster web, presents a leaf that ends at 1970-01-01T00:33:20.000Z, and not the published one, that ends at 1970-01-01T00:50:00.000Z, since 2026-/,
    );
  });

  it("is healed by one nudge, when the pod had its time", async () => {
    await using fake = await settled();
    fake.onNudge = () => fake.take("web", 3_000);
    fake.publish("web", 3_000);
    await fake.clock.advance(2_100);
    expect(fake.nudges).toEqual([]);
    await fake.clock.advance(1_000);
    expect([fake.served(), fake.nudges]).toEqual(["True/Served", ["web"]]);
    await fake.clock.advance(600_000);
    expect(fake.nudges).toHaveLength(1);
  });

  it("is counted from its publication to its end, however often the reconciler looks meanwhile", async () => {
    await using fake = await settled();
    fake.servedMs.length = 0;
    fake.onNudge = () => fake.take("web", 3_000);
    fake.publish("web", 3_000);
    for (let ms = 0; ms < 4_000; ms += 100) {
      await fake.clock.advance(100);
      fake.publish("web", 3_000, { isWritten: false });
    }
    expect(fake.servedMs).toHaveLength(1);
    expect(fake.servedMs[0]).toBeGreaterThan(2_000);
  });

  it("of one cluster only is healed too: a split", async () => {
    await using fake = await settled();
    fake.mapping("cart", { service: "cart", tls: "web" });
    fake.take("cart", 2_000);
    await fake.clock.advance(10_000);
    fake.onNudge = () => fake.take("web", 3_000);
    fake.publish("web", 3_000);
    fake.take("cart", 3_000);
    await fake.clock.advance(10_000);
    expect([fake.served(), fake.nudges]).toEqual(["True/Served", ["web"]]);
  });

  it("waits longer for a pod whose reconfigurations take long", async () => {
    await using fake = await settled();
    const pod = fake.pods.get("pod-1");
    if (pod !== undefined) pod.reconfigurationMs = 3_500;
    fake.publish("web", 3_000);
    await fake.clock.advance(7_000);
    expect(fake.nudges).toEqual([]);
    await fake.clock.advance(3_000);
    expect(fake.nudges).toHaveLength(1);
  });

  it("is nudged until it is taken, although five nudges are lost", async () => {
    await using fake = await settled();
    fake.onNudge = () => {
      // Each snapshot has a Mapping, too: Envoy gets something, and not this.
      for (const pod of fake.pods.values()) pod.updates = (pod.updates ?? 0) + 1;
      if (fake.nudges.length === 6) fake.take("web", 3_000);
    };
    fake.publish("web", 3_000);
    for (let passed = 0; fake.served() !== "True/Served" || passed < 3_000; passed += 500) {
      fake.churn();
      await fake.clock.advance(500);
      expect(passed).toBeLessThan(300_000);
      if (passed > 2_500) expect(fake.served()).not.toBe("False/Frozen");
      if (fake.nudges.length < 6 && passed > 4_000) expect(fake.served()).toBe("False/NotTaken");
    }
    expect(fake.nudges).toHaveLength(6);
  });

  it("is nudged in a moment when no Mapping changes", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    for (let ms = 0; ms < 2_300; ms += 100) {
      fake.churn();
      await fake.clock.advance(100);
    }
    expect(fake.nudges).toEqual([]);
    await fake.clock.advance(2_200);
    expect(fake.nudges).toHaveLength(1);
  });

  it("is nudged in each such moment, if Mappings come between that may have coalesced the nudge", async () => {
    await using fake = await settled();
    fake.onNudge = () => {
      for (const pod of fake.pods.values()) pod.updates = (pod.updates ?? 0) + 1;
    };
    fake.publish("web", 3_000);
    for (let round = 0; round < 6; round += 1) {
      fake.churn();
      await fake.clock.advance(5_000);
    }
    // Five at least: at first it has its time.
    expect(fake.nudges.length).toBeGreaterThanOrEqual(5);
    const before = fake.nudges.length;
    await fake.clock.advance(50_000);
    // Without changes of Mappings they become rare.
    expect(fake.nudges.length - before).toBeLessThanOrEqual(4);
  });

  it.each(share([5_000, Infinity], 2))(
    "is nudged every ten minutes at last where no nudge heals it, with a Mapping every %d ms, and a new one at once",
    { tags: ["search"] },
    async (churnMs) => {
      await using fake = await settled();
      fake.mapping("cart", { service: "cart", tls: "cart" });
      fake.take("cart", 2_000);
      fake.publish("cart", 2_000);
      await fake.clock.advance(10_000);
      fake.onNudge = () => {
        for (const pod of fake.pods.values()) pod.updates = (pod.updates ?? 0) + 1;
      };
      const pass = async (ms: number) => {
        for (let passed = 0; passed < ms; passed += 5_000) {
          if (churnMs < ms) fake.churn();
          await fake.clock.advance(5_000);
        }
      };
      fake.take("web", undefined);
      fake.publish("web", 3_000);
      await pass(3_600_000);
      expect(fake.nudges.length).toBeGreaterThan(8);
      expect(fake.nudges.length).toBeLessThan(20);
      const before = fake.nudges.length;
      await pass(3_600_000);
      expect(fake.nudges.length - before).toBeLessThanOrEqual(6);
      fake.onNudge = () => fake.take("cart", 3_000);
      fake.publish("cart", 3_000);
      await pass(20_000);
      expect([fake.served("cart"), fake.served()]).toEqual(["True/Served", "False/Exposed"]);
    },
  );

  it("of a hundred identities takes one nudge", async () => {
    await using fake = fakeIngress();
    fake.add("pod-1");
    const names = Array.from({ length: 100 }, (_, index) => `id-${index}`);
    for (const name of names) {
      fake.mapping(name, { service: name, tls: name });
      fake.take(name.replace("-", "_"), 2_000);
      fake.publish(name, 2_000);
    }
    await fake.clock.advance(10_000);
    fake.onNudge = () => names.forEach((name) => fake.take(name.replace("-", "_"), 3_000));
    for (const name of names) fake.publish(name, 3_000);
    await fake.clock.advance(10_000);
    expect(names.map((name) => fake.served(name)).every((served) => served === "True/Served")).toBe(true);
    expect(fake.nudges).toHaveLength(1);
  });
});

describe("while Mappings change twice a second, each when it likes", () => {
  it("every rotation is served, and few nudges are coalesced", async () => {
    await using fake = await settled();
    const { clock } = fake;
    const random = seeded(7);
    // As Emissary: a snapshot at once, or a second after the one before; complete unless a Mapping changed.
    let lastMs = -Infinity;
    let hasMapping = false;
    let isNudged = false;
    let wanted = 2_000;
    let isUnderWay = false;
    const change = () => {
      if (isUnderWay) return;
      isUnderWay = true;
      const waitMs = Math.max(0, lastMs + 1_000 - clock.elapsedMs());
      void clock.sleep(waitMs, new AbortController().signal).then(() => {
        if (!hasMapping && isNudged) fake.take("web", wanted);
        for (const pod of fake.pods.values()) pod.updates = (pod.updates ?? 0) + 1;
        lastMs = clock.elapsedMs();
        hasMapping = isNudged = isUnderWay = false;
      });
    };
    fake.onNudge = () => {
      isNudged = true;
      change();
    };
    const healedMs: number[] = [];
    for (let rotation = 1; rotation <= 30; rotation += 1) {
      // The rotation itself is always lost.
      wanted = 2_000 + rotation;
      fake.publish("web", wanted);
      const beganMs = clock.elapsedMs();
      while (fake.servedMs.length <= rotation) {
        await clock.advance(-Math.log(1 - random()) * 500);
        fake.churn();
        hasMapping = true;
        change();
        expect(clock.elapsedMs() - beganMs).toBeLessThan(120_000);
      }
      healedMs.push(clock.elapsedMs() - beganMs);
    }
    const median = healedMs.toSorted((one, other) => one - other)[15] ?? Infinity;
    expect(median).toBeLessThan(15_000);
    expect(fake.nudges.length).toBeLessThan(30 * 4);
    expect(fake.logged.some((line) => line.includes("Frozen"))).toBe(false);
  });
});

/** The same numbers each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

describe("a cluster without a client certificate", () => {
  it("is reported as Exposed, with an Event on the Mapping", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    fake.take("web", undefined);
    await fake.clock.advance(5_000);
    expect([fake.served(), fake.exposed]).toEqual(["False/Exposed", ["Mapping emissary/web"]]);
    expect(fake.message()).toContain("without a client certificate NOW");
    expect(fake.ingress.exposed).toMatchObject([{ name: "web" }]);
    expect(fake.logged.some((line) => line.includes('"level":"error"'))).toBe(true);
    expect(fake.nudges.length).toBeGreaterThan(0);
    fake.take("web", 3_000);
    await fake.clock.advance(40_000);
    expect([fake.served(), fake.ingress.exposed]).toEqual(["True/Served", []]);
  });
});

describe("a Mapping that names another context than before", () => {
  it.each(["typo", "other"])("has its time, however old the last page is: after %s", async (before) => {
    await using fake = await settled();
    fake.mapping("cart", { service: "cart", tls: before });
    fake.take("cart", before === "typo" ? undefined : 1_000);
    fake.publish("web", 3_000);
    fake.take("web", 3_000);
    await fake.clock.advance(3_600_000);
    fake.mapping("cart", { service: "cart", tls: "web" });
    await fake.clock.advance(1_000);
    expect([fake.served(), fake.exposed, fake.nudges]).toEqual(["True/Served", [], []]);
    fake.take("cart", 3_000);
    await fake.clock.advance(2_000);
    expect(fake.message()).toBe("1 of 1 pods, 2 of 2 clusters.");
    expect([fake.exposed, fake.nudges]).toEqual([[], []]);
    expect(fake.logged.some((line) => line.includes("NOW") || line.includes("NotTaken"))).toBe(false);
  });
});

describe("an ingress that takes nothing at all", () => {
  it("is frozen, after three nudges, and still nudged now and then", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    await fake.clock.advance(60_000);
    expect(fake.served()).toBe("False/Frozen");
    expect(fake.message()).toContain("refuses ALL configuration, of all tenants");
    expect(fake.ingress.servedOf({ metadata: { name: "web", namespace: "emissary" } }).isPending).toBe(false);
    const before = fake.nudges.length;
    await fake.clock.advance(60_000);
    expect(fake.served()).toBe("False/Frozen");
    expect(fake.nudges.length - before).toBeLessThanOrEqual(3);
    fake.onNudge = () => fake.take("web", 3_000);
    await fake.clock.advance(30_000);
    expect(fake.served()).toBe("True/Served");
  });

  it("stays frozen over the next rotation", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    await fake.clock.advance(60_000);
    fake.publish("web", 4_000);
    await fake.clock.advance(160);
    expect(fake.served()).toBe("False/Frozen");
  });

  it("is not called frozen where no nudge can be written", async () => {
    await using fake = await settled();
    fake.onNudge = () => {
      throw new IngressError("ATTACHE_INGRESS_UNREACHABLE", "the webhook is down");
    };
    fake.publish("web", 3_000);
    await fake.clock.advance(120_000);
    expect([fake.served(), fake.nudges.length > 3]).toEqual(["False/NotTaken", true]);
    fake.onNudge = () => undefined;
    await fake.clock.advance(120_000);
    expect(fake.served()).toBe("False/Frozen");
  });

  it("is not called frozen where its Envoy does not count", async () => {
    await using fake = await settled();
    for (const pod of fake.pods.values()) pod.updates = undefined;
    fake.publish("web", 3_000);
    await fake.clock.advance(120_000);
    expect(fake.served()).toBe("False/NotTaken");
  });
});

describe("an ingress whose Envoy takes nothing of what Emissary compiles", () => {
  /** As of a foreign Mapping that Envoy refuses: the timer moves, and Envoy's count does not. */
  async function refuse(fake: FakeIngress, times = 1): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      for (const pod of fake.pods.values()) pod.reconfigurationMs += 1;
      await fake.clock.advance(70_000);
    }
  }

  it("is Stalled, and soon Frozen, although all is served, until it takes something", async () => {
    await using fake = await settled();
    await refuse(fake);
    expect([fake.served(), fake.nudges]).toEqual(["Unknown/Stalled", []]);
    await refuse(fake, 2);
    expect(fake.served()).toBe("False/Frozen");
    expect(fake.message()).toContain("Emissary has reconfigured at least 3 times since");
    expect(fake.ingress.health?.pods).toEqual({ answering: 0, silent: 0, frozen: 1 });
    fake.take("web", 2_000);
    await fake.clock.advance(70_000);
    expect([fake.served(), fake.nudges]).toEqual(["True/Served", []]);
  });

  it("is not called so while Envoy's count moves a moment later", async () => {
    await using fake = await settled();
    for (let time = 0; time < 10; time += 1) {
      await refuse(fake);
      for (const pod of fake.pods.values()) pod.updates = (pod.updates ?? 0) + 1;
      await fake.clock.advance(60_000);
      expect(fake.served()).toBe("True/Served");
    }
  });

  it.each([1, 20])("is not called frozen where it collects changes for %d s", async (seconds) => {
    await using fake = await settled();
    for (const pod of fake.pods.values()) pod.isReconfiguring = false;
    let leaf = 2_000;
    for (let rotation = 0; rotation < 20; rotation += 1) {
      fake.publish("web", (leaf += 1));
      for (let passed = 0; passed < seconds; passed += 1) {
        await fake.clock.advance(1_000);
        expect(fake.served()).not.toMatch(/Frozen|Stalled/);
      }
      for (const pod of fake.pods.values()) pod.reconfigurationMs += 1;
      fake.take("web", leaf);
      await fake.clock.advance(7_000);
      expect(fake.served()).toBe("True/Served");
    }
  });

  it("is frozen also where it does not even reconfigure, which the message says", async () => {
    await using fake = await settled();
    for (const pod of fake.pods.values()) pod.isReconfiguring = false;
    fake.publish("web", 3_000);
    await fake.clock.advance(30_000);
    expect(fake.served()).toBe("False/NotTaken");
    await fake.clock.advance(30_000);
    expect(fake.served()).toBe("False/Frozen");
    expect(fake.message()).toContain("Emissary does not reconfigure: see its log");
  });
});

describe("while an ingress is frozen", () => {
  it("a consumer counts as protected as long as every pod presents a certificate for it", async () => {
    await using fake = await settled();
    fake.mapping("cart", { service: "cart", tls: "other" });
    fake.add("pod-2");
    fake.take("web", 2_000);
    fake.take("cart", 2_000);
    await fake.clock.advance(10_000);
    for (let time = 0; time < 10; time += 1) {
      for (const pod of fake.pods.values()) pod.reconfigurationMs += 1;
      await fake.clock.advance(40_000);
    }
    expect([fake.served(), [...fake.kept]]).toEqual([
      "False/Frozen",
      ["Mapping emissary/web", "Mapping emissary/cart"],
    ]);
    fake.pods.get("pod-2")?.clusters.set("cart", {});
    await fake.clock.advance(40_000);
    expect([...fake.kept]).toEqual(["Mapping emissary/web"]);
    for (const pod of fake.pods.values()) pod.updates = (pod.updates ?? 0) + 1;
    await fake.clock.advance(40_000);
    expect([fake.served(), [...fake.kept]]).toEqual(["True/Served", []]);
  });
});

describe("the patrol", () => {
  it("finds what is lost while all is well, and has it healed", async () => {
    await using fake = await settled();
    fake.onNudge = () => fake.take("web", 2_000);
    for (const lost of [1_000, undefined]) {
      fake.take("web", lost);
      await fake.clock.advance(70_000);
      expect(fake.served()).toBe("True/Served");
    }
    expect(fake.nudges).toHaveLength(2);
    expect(fake.exposed).toEqual(["Mapping emissary/web"]);
  });

  it("reports what is lost and not healed", async () => {
    await using fake = await settled();
    fake.take("web", undefined);
    await fake.clock.advance(70_000);
    expect([fake.served(), fake.ingress.exposed.length]).toEqual(["False/Exposed", 1]);
  });

  it("is not needed for a pod that restarts or is replaced: it is asked at once", async () => {
    await using fake = await settled();
    fake.remove("pod-1");
    const pod = fake.add("pod-1", { clusters: new Map([["web", {}]]) });
    await fake.clock.advance(160);
    expect(pod.asked).toBe(1);
    await fake.clock.advance(5_000);
    expect(fake.served()).toBe("False/Exposed");
  });

  it("is not held up by pods that hang", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    const pods = Array.from({ length: 10 }, (_, index) => fake.add(`pod-${index}`));
    fake.take("web", 2_000);
    fake.publish("web", 2_000);
    await fake.clock.advance(10_000);
    for (const pod of pods.slice(0, 5)) pod.state = "hanging";
    for (const pod of pods) pod.asked = 0;
    await fake.clock.advance(600_000);
    const asked = pods.slice(5).map((pod) => pod.asked);
    expect([Math.min(...asked) >= 9, Math.max(...asked) <= 13]).toEqual([true, true]);
    fake.take("web", 1_000);
    fake.onNudge = () => pods.forEach((pod) => (pod.updates = (pod.updates ?? 0) + 1));
    await fake.clock.advance(75_000);
    expect(fake.served()).toBe("False/NotTaken");
  });

  it("reads 0.7 MB a second at most, and leaves out no pod", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    const pods = Array.from({ length: 10 }, (_, index) => fake.add(`pod-${index}`, { bytes: 21_000_000 }));
    fake.take("web", 2_000);
    fake.publish("web", 2_000);
    await fake.clock.advance(10_000);
    for (const pod of pods) pod.asked = 0;
    await fake.clock.advance(3_000_000);
    const asked = pods.map((pod) => pod.asked);
    expect(asked.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(101);
    expect([Math.min(...asked) >= 9, Math.max(...asked) <= 11]).toEqual([true, true]);
  });
});

describe("a pod", () => {
  it("that cannot be reached makes it unknown, with the reason, is asked ever more rarely and never nudged", async () => {
    await using fake = await settled();
    const dead = fake.add("pod-2", { state: "silent" });
    await fake.clock.advance(10_000);
    expect(fake.served()).toBe("Unknown/Unreachable");
    expect(fake.message()).toMatch(
      /^Pod pod-2 has not said .* pod-2 is away\. Allow attaché's pods to reach/,
    );
    await fake.clock.advance(3_600_000);
    expect(dead.asked).toBeLessThan(300);
    expect(fake.nudges).toEqual([]);
    fake.remove("pod-2");
    await fake.clock.advance(1);
    expect(fake.served()).toBe("True/Served");
  });

  it("that never answers holds up no rotation", async () => {
    await using fake = await settled();
    fake.add("pod-2", { state: "hanging" });
    fake.publish("web", 3_000);
    fake.take("web", 3_000);
    await fake.clock.advance(5_000);
    const { isPending } = fake.ingress.servedOf({ metadata: { name: "web", namespace: "emissary" } });
    expect(isPending).toBe(false);
  });

  it("that comes and goes counts while it is there: 1, 5, 1 during a rotation", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    for (const name of ["pod-2", "pod-3", "pod-4", "pod-5"]) fake.add(name);
    fake.take("web", 3_000);
    await fake.clock.advance(1_000);
    expect(fake.message()).toBe("5 of 5 pods, 1 of 1 clusters.");
    fake.publish("web", 4_000);
    await fake.clock.advance(100);
    for (const name of ["pod-1", "pod-2", "pod-3", "pod-4"]) fake.remove(name);
    fake.take("web", 4_000);
    await fake.clock.advance(1_000);
    expect([fake.message(), fake.nudges]).toEqual(["1 of 1 pods, 1 of 1 clusters.", []]);
  });

  it("of which there is none makes it unknown", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    fake.publish("web", 2_000);
    await fake.clock.advance(5_000);
    expect(fake.served()).toBe("Unknown/NoPods");
    expect(fake.message()).toContain("The Service emissary/admin has no pod that is ready");
  });

  it("that has no such cluster makes it unknown, and is not nudged for it", async () => {
    await using fake = await settled();
    fake.mapping("bad", { service: "bad", tls: "web" });
    await fake.clock.advance(10_000);
    expect(fake.served()).toBe("Unknown/ClusterUnknown");
    expect(fake.message()).toContain("has no cluster bad: Emissary has not taken Mapping emissary/bad");
    expect(fake.nudges).toEqual([]);
    expect(fake.ingress.servedOf({ metadata: { name: "web", namespace: "emissary" } }).isPending).toBe(false);
  });
});

describe("an Envoy that reports no certificates", () => {
  it("makes it NotMeasured, once, with no alarm and no touch, however many rotations follow", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    fake.add("pod-1", { hasCertificates: false, clusters: new Map([["web", { hasTls: true }]]) });
    const messages = new Set<string>();
    for (let leaf = 2_000; leaf < 2_010; leaf += 1) {
      fake.publish("web", leaf);
      await fake.clock.advance(60_000);
      messages.add(`${fake.served()} ${fake.message()}`);
    }
    expect([...messages]).toEqual([
      expect.stringMatching(/^Unknown\/NotMeasured .*pod-1.*Upgrade to Emissary 4/),
    ]);
    expect([fake.nudges, fake.exposed]).toEqual([[], []]);
    expect(fake.logged.filter((line) => !line.includes('"level":"debug"'))).toEqual([]);
  });

  it("shows a cluster without TLS nevertheless: exposed", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    fake.mapping("cart", { service: "cart", tls: "web" });
    const clusters = new Map([
      ["web", { hasTls: true }],
      ["cart", { hasTls: false }],
    ]);
    fake.add("pod-1", { hasCertificates: false, clusters });
    fake.publish("web", 2_000);
    await fake.clock.advance(10_000);
    expect([fake.served(), fake.exposed]).toEqual(["False/Exposed", ["Mapping emissary/cart"]]);
  });
});

describe("two contexts towards one service", () => {
  it("are ambiguous, which a stats_name ends, and never nudged", async () => {
    await using fake = await settled();
    fake.mapping("other", { service: "web", tls: "other" });
    fake.take("web", 1_000);
    fake.publish("web", 3_000);
    await fake.clock.advance(60_000);
    expect([fake.served(), fake.nudges]).toEqual(["Unknown/Ambiguous", []]);
    expect(fake.message()).toContain('also used with the TLSContext "other"');
    expect(fake.message()).toContain("Give Mapping emissary/web a stats_name of its own.");
  });
});

describe("without an ingress in the settings", () => {
  it("Served is unknown, and nothing is nudged that was written while no Mapping changed", async () => {
    await using fake = fakeIngress({ isConfigured: false });
    fake.mapping("web", { service: "web", tls: "web" });
    await fake.clock.advance(4_000);
    fake.publish("web", 2_000);
    expect(fake.served()).toBe("Unknown/NotConfigured");
    await fake.clock.advance(3_600_000);
    expect([fake.served(), fake.nudges]).toEqual(["Unknown/NotConfigured", []]);
    expect(fake.clock.sleeps).toEqual([]);
  });

  it.each([-2_500, 2_500])(
    "one nudge follows where a Mapping changed %i ms after the write, once all is quiet",
    async (afterMs) => {
      await using fake = fakeIngress({ isConfigured: false });
      await fake.clock.advance(10_000);
      if (afterMs < 0) fake.churn();
      await fake.clock.advance(Math.max(0, -afterMs));
      for (const name of ["web", "cart", "shop"]) fake.publish(name, 2_000);
      await fake.clock.advance(Math.max(0, afterMs));
      if (afterMs > 0) fake.churn();
      for (let passed = 0; passed < 10_000; passed += 1_000) {
        fake.churn();
        await fake.clock.advance(1_000);
      }
      expect(fake.nudges).toEqual([]);
      await fake.clock.advance(3_600_000);
      expect(fake.nudges).toHaveLength(1);
    },
  );
});

describe("an evaluation that throws", () => {
  it("is logged once, counted, and repeated with back-off until it succeeds", async () => {
    await using fake = fakeIngress();
    fake.mapping("web", { service: "web", tls: "web" });
    fake.add("pod-1");
    fake.take("web", 2_000);
    fake.failure = new Error("out of order");
    fake.publish("web", 2_000);
    await fake.clock.advance(60_000);
    const errors = () => fake.results.filter((result) => result === "error");
    expect([fake.served(), errors().length >= 3]).toEqual(["Unknown/Waiting", true]);
    expect(fake.logged.filter((line) => line.includes("out of order"))).toHaveLength(1);
    fake.failure = undefined;
    await fake.clock.advance(60_000);
    expect(fake.served()).toBe("True/Served");
  });
});

describe("what is no longer published", () => {
  it("is not asked for", async () => {
    await using fake = await settled();
    fake.publish("web", 3_000);
    fake.ingress.forget({ metadata: { name: "web", namespace: "emissary" } });
    const pod = fake.pods.get("pod-1");
    const asked = pod?.asked ?? 0;
    await fake.clock.advance(60_000);
    expect([(pod?.asked ?? 0) - asked <= 1, fake.nudges]).toEqual([true, []]);
  });
});
