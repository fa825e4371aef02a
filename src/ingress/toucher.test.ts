import { describe, expect, it } from "vitest";
import { type FakeIngress, fakeIngress } from "../../test/fixtures/fake-ingress.ts";
import { manualClock } from "../../test/fixtures/clock.ts";
import { Clusters } from "../emissary/clusters.ts";
import { type ConsumerKind, consumerOf } from "../emissary/consumer.ts";
import { ApiError } from "../kube/api-error.ts";
import { createLogger } from "../telemetry/logger.ts";
import { evaluate, noProblems } from "./evaluate.ts";
import type { EmissaryObservation } from "./observation.ts";
import { Toucher } from "./toucher.ts";

/**
 * An Emissary of one pod that takes a snapshot each second, and in each of them a Mapping has changed: only
 * clusters of touched Mappings are rebuilt.
 */
interface Churning extends AsyncDisposable {
  readonly fake: FakeIngress;
  publish(identity: string, leaf: number, root?: number): void;
  /** Moves the clock, with a change of a foreign Mapping every `everyMs`. */
  run(ms: number, everyMs?: number): Promise<void>;
}

function churning(clusters: Readonly<Record<string, string>>, touchMappings = true): Churning {
  const fake = fakeIngress({ touchMappings });
  const published = new Map<string, readonly [leaf: number, root: number]>();
  const unpublished = [2_000, 9_000] as const;
  const changed = new Set<string>();
  fake.add("pod-1");
  for (const [cluster, context] of Object.entries(clusters)) {
    fake.mapping(cluster, { service: cluster, tls: context });
    fake.take(cluster, 2_000, 9_000);
  }
  fake.onTouch = (name) => void changed.add(name);
  return {
    fake,
    publish(identity, leaf, root = 9_000) {
      published.set(identity, [leaf, root]);
      fake.publish(identity, leaf, { root });
    },
    async run(ms, everyMs = 200) {
      for (let passedMs = 0; passedMs < ms; passedMs += everyMs) {
        fake.churn();
        await fake.clock.advance(everyMs);
        if (passedMs % 1_000 !== 0) continue;
        for (const name of changed) fake.take(name, ...(published.get(clusters[name] ?? "") ?? unpublished));
        changed.clear();
        // Each snapshot is taken, whatever is in it.
        for (const pod of fake.pods.values()) pod.updates = (pod.updates ?? 0) + 1;
      }
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}

describe("while Mappings change every second", () => {
  it("a cluster that misses a rotation has one of its Mappings touched, within 3 s, and no TLSContext", async () => {
    await using stage = churning({ web: "web", cart: "web" });
    const { fake } = stage;
    for (let leaf = 3_000; leaf < 3_010; leaf += 1) {
      stage.publish("web", leaf);
      await stage.run(10_000);
      expect(fake.served()).toBe("True/Served");
    }
    expect(Math.max(...fake.servedMs.slice(1))).toBeLessThanOrEqual(3_000);
    expect([fake.touches.length, fake.nudges]).toEqual([20, []]);
  });

  it("nothing is touched while all is served", async () => {
    await using stage = churning({ web: "web" });
    stage.publish("web", 2_000);
    await stage.run(600_000);
    expect([stage.fake.served(), stage.fake.touches, stage.fake.nudges]).toEqual(["True/Served", [], []]);
  });

  it("roots are healed before leaves, at most 50 in a round, one round a second", async () => {
    const names = Array.from({ length: 120 }, (_, index) => `c${index}`);
    const clusters = Object.fromEntries(names.map((name, index) => [name, index % 2 === 0 ? "web" : "shop"]));
    await using stage = churning(clusters);
    const { fake } = stage;
    stage.publish("shop", 3_000);
    stage.publish("web", 3_000, 9_500);
    await stage.run(20_000);
    expect([fake.served("web"), fake.served("shop")]).toEqual(["True/Served", "True/Served"]);
    const roots = fake.touches.slice(0, 60).map(({ mapping }) => clusters[mapping.replace("emissary/", "")]);
    expect(new Set(roots)).toEqual(new Set(["web"]));
    const rounds = Map.groupBy(fake.touches, ({ ms }) => ms);
    expect([...rounds.values()].map(({ length }) => length)).toEqual([50, 50, 20]);
    const began = [...rounds.keys()];
    expect(began.slice(1).every((ms, index) => ms - (began[index] ?? 0) >= 1_000)).toBe(true);
  });

  it("of five hundred Mappings on one cluster one is touched a round", async () => {
    await using stage = churning({});
    const { fake } = stage;
    for (let index = 0; index < 500; index += 1) fake.mapping(`m${index}`, { service: "web", tls: "web" });
    fake.take("web", 2_000);
    stage.publish("web", 3_000);
    await stage.run(5_000);
    expect(fake.touches.length).toBeLessThanOrEqual(4);
    expect(new Set(fake.touches.map(({ mapping }) => mapping)).size).toBe(fake.touches.length);
  });

  it("a Mapping that was deleted, or changed, in between is no failure: another is touched the next time", async () => {
    await using stage = churning({ web: "web" });
    const { fake } = stage;
    fake.mapping("other", { service: "web", tls: "web" });
    const { onTouch } = fake;
    let failures = 0;
    fake.onTouch = (name) => {
      failures += 1;
      if (failures <= 2)
        throw new ApiError("ATTACHE_KUBERNETES_CONFLICT", "gone", { status: failures === 1 ? 404 : 409 });
      onTouch("web");
      onTouch(name);
    };
    stage.publish("web", 3_000);
    await stage.run(12_000);
    expect(fake.served()).toBe("True/Served");
    expect(fake.touches.map(({ mapping }) => mapping).slice(0, 2)).toEqual([
      "emissary/web",
      "emissary/other",
    ]);
    expect(fake.logged.filter((line) => line.includes("could not be touched"))).toEqual([]);
  });

  it("five hundred clusters of one context are touched once each, in order, fifty in a second", async () => {
    const names = Array.from({ length: 500 }, (_, index) => `c${index}`);
    await using stage = churning(Object.fromEntries(names.map((name) => [name, "web"])));
    const { fake } = stage;
    stage.publish("web", 3_000);
    await stage.run(20_000);
    expect(fake.served()).toBe("True/Served");
    expect(fake.touches.map(({ mapping }) => mapping)).toEqual(names.map((name) => `emissary/${name}`));
    const rounds = [...Map.groupBy(fake.touches, ({ ms }) => ms)];
    expect(rounds.map(([, { length }]) => length)).toEqual(Array.from({ length: 10 }, () => 50));
    const began = rounds.map(([ms]) => ms);
    expect(began.slice(1).every((ms, index) => ms - (began[index] ?? 0) >= 1_000)).toBe(true);
  });

  it("a GitOps tool that reverts each touch is not fought: none follows once it is served", async () => {
    await using stage = churning({ web: "web" });
    const { fake } = stage;
    const { onTouch } = fake;
    const reverts: number[] = [];
    fake.onTouch = (name) => {
      onTouch(name);
      reverts.push(fake.clock.elapsedMs() + 700);
    };
    stage.publish("web", 3_000);
    for (let passedMs = 0; passedMs < 60_000; passedMs += 200) {
      await stage.run(200);
      const due = reverts.findIndex((ms) => ms <= fake.clock.elapsedMs());
      if (due >= 0) reverts.splice(due, 1);
      // What reverts it changes the Mapping, too.
      if (due >= 0) fake.churn();
    }
    expect([fake.served(), fake.touches.length <= 3]).toEqual(["True/Served", true]);
  });

  it("a namespace in which attaché may not touch keeps no other from being healed", async () => {
    await using stage = churning({ web: "web" });
    const { fake } = stage;
    fake.mapping("closed", { service: "closed", tls: "web" }, "closed");
    fake.take("closed_closed", 2_000);
    const { onTouch } = fake;
    fake.onTouch = (name) => {
      if (name === "closed") throw new ApiError("ATTACHE_KUBERNETES_FORBIDDEN", "no", { status: 403 });
      onTouch(name);
    };
    stage.publish("web", 3_000);
    await stage.run(60_000);
    expect(fake.touches.filter(({ mapping }) => mapping === "closed/closed")).toHaveLength(1);
    expect(fake.pods.get("pod-1")?.clusters.get("web")?.leaf).toBe(3_000);
    expect(fake.message()).toContain("cluster closed_closed");
  });

  it("an Emissary that scales from one pod to five and back is served, rotation after rotation", async () => {
    await using stage = churning({ web: "web", cart: "web" });
    const { fake } = stage;
    const others = ["pod-2", "pod-3", "pod-4", "pod-5"];
    for (let leaf = 3_000; leaf < 3_004; leaf += 1) {
      stage.publish("web", leaf);
      const clusters = fake.pods.get("pod-1")?.clusters ?? new Map<string, object>();
      // A new pod begins with what is published, or, if it started a moment before, without it.
      for (const name of others) fake.add(name, { clusters: new Map(clusters) });
      await stage.run(1_000);
      for (const name of others) fake.remove(name);
      await stage.run(9_000);
      expect(fake.served()).toBe("True/Served");
      expect(fake.message()).toBe("1 of 1 pods, 2 of 2 clusters.");
    }
    expect(fake.logged.some((line) => /Frozen|Exposed/.test(line))).toBe(false);
  });

  it("without the right to it is said once in ten minutes, and TLSContexts are touched as before", async () => {
    await using stage = churning({ web: "web" });
    const { fake } = stage;
    fake.onTouch = () => {
      throw new ApiError("ATTACHE_KUBERNETES_FORBIDDEN", "no", { status: 403 });
    };
    stage.publish("web", 3_000);
    await stage.run(300_000);
    expect(fake.touches).toHaveLength(1);
    expect(fake.nudges.length).toBeGreaterThan(1);
    expect(fake.logged.filter((line) => line.includes("could not be touched"))).toHaveLength(1);
  });

  it("that touches have no effect is noticed: they become rarer, and TLSContexts are touched too", async () => {
    await using stage = churning({ web: "web" });
    const { fake } = stage;
    fake.onTouch = () => undefined;
    stage.publish("web", 3_000);
    await stage.run(600_000);
    expect(fake.touches.length).toBeLessThan(25);
    expect(fake.nudges.length).toBeGreaterThan(1);
    expect(fake.served()).toBe("False/NotTaken");
  });

  it("a touch is repeated once Emissary has reconfigured since, however slow it is, and not before", async () => {
    await using stage = churning({ web: "web" });
    const { fake } = stage;
    const pod = fake.add("pod-1", {
      reconfigurationMs: 20_000,
      clusters: new Map([["web", { leaf: 2_000, root: 9_000 }]]),
    });
    fake.onTouch = () => undefined;
    const page = async (updates: number, reconfigurationMs: number) => {
      Object.assign(pod, { updates, reconfigurationMs });
      for (let passedMs = 0; passedMs < 6_000; passedMs += 500) {
        fake.churn();
        await fake.clock.advance(500);
      }
    };
    stage.publish("web", 3_000);
    await page(1, 20_000);
    expect(fake.touches).toHaveLength(1);
    // The first may have begun before the touch.
    await page(2, 20_100);
    await page(2, 20_100);
    expect(fake.touches).toHaveLength(1);
    await page(3, 20_200);
    expect(fake.touches).toHaveLength(2);
    // Its Envoy has restarted.
    await page(0, 20_200);
    expect(fake.touches).toHaveLength(3);
  });

  it("an update of endpoints is no reconfiguration", async () => {
    await using stage = churning({ web: "web" });
    const { fake } = stage;
    fake.onTouch = () => undefined;
    for (const pod of fake.pods.values()) pod.reconfigurationMs = 10_000;
    stage.publish("web", 3_000);
    await stage.run(19_000);
    expect(fake.touches).toHaveLength(1);
  });

  it("no Mapping is touched where that is off, nor any object that is no Mapping", async () => {
    await using stage = churning({ web: "web" }, false);
    stage.publish("web", 3_000);
    await stage.run(60_000);
    expect(stage.fake.touches).toEqual([]);
    expect(stage.fake.nudges.length).toBeGreaterThan(1);
  });
});

it("in quiet times a TLSContext is touched, and no Mapping", async () => {
  await using fake = fakeIngress({ touchMappings: true });
  fake.mapping("web", { service: "web", tls: "web" });
  fake.add("pod-1");
  fake.take("web", 2_000);
  await fake.clock.advance(10_000);
  fake.onNudge = () => fake.take("web", 3_000);
  fake.publish("web", 3_000);
  await fake.clock.advance(10_000);
  expect([fake.served(), fake.nudges, fake.touches]).toEqual(["True/Served", ["web"], []]);
});

it("rounds of several Emissaries wait for one another, and none is lost", async () => {
  const touched: string[] = [];
  let release: (() => void) | undefined;
  const toucher = new Toucher({
    store: {
      mappings: undefined,
      nudge: () => Promise.resolve(),
      async touchMapping({ name }) {
        touched.push(name);
        if (touched.length === 1) await new Promise<void>((resolve) => void (release = resolve));
      },
    },
    observer: { touched: () => undefined },
    clock: manualClock(),
    logger: createLogger("silent"),
    enqueue: () => undefined,
    onSent: () => undefined,
  });
  const first = emissaryThatLacks("first");
  const second = emissaryThatLacks("second");
  toucher.touchMappings(first.emissary, first.evaluations);
  const sending = toucher.send("mappings", new AbortController().signal);
  toucher.touchMappings(second.emissary, second.evaluations);
  release?.();
  await sending;
  expect(touched).toEqual(["first", "second"]);
});

it("a round is sufficient without the cluster of an AuthService, which Emissary rebuilds each time", () => {
  const ports = { store: { mappings: undefined, nudge: notAtAll, touchMapping: notAtAll } };
  const toucher = new Toucher({
    ...ports,
    observer: { touched: () => undefined },
    clock: manualClock(),
    logger: createLogger("silent"),
    enqueue: () => undefined,
    onSent: () => undefined,
  });
  const { emissary, evaluations } = emissaryThatLacks("web", "AuthService");
  expect(toucher.touchMappings(emissary, evaluations)).toMatchObject({ isSufficient: true });
});

function notAtAll(): Promise<void> {
  return Promise.reject(new Error("nothing is to be sent"));
}

/** An Emissary while Mappings change, with a cluster whose Mapping has this name, and one of `more`. */
function emissaryThatLacks(name: string, more?: ConsumerKind) {
  const metadata = { namespace: "emissary", name, uid: name };
  const spec = { service: name, auth_service: "auth", tls: "web" };
  const consumers = [consumerOf("Mapping", { metadata, spec }), more && consumerOf(more, { metadata, spec })];
  const clusters = new Clusters(
    consumers.filter((one) => one !== undefined),
    { ambassadorIds: ["default"], namespace: "emissary" },
  );
  const cluster = { leaves: [1_000], roots: [9_000], hasTls: true };
  const page = {
    ...{ hasEnvoy: true, hasCertificates: true, bytes: 1_000 },
    clusters: new Map([name, "auth"].map((one) => [one, cluster])),
  };
  const observation: EmissaryObservation = {
    ...{ name, clusters, ambassadorIds: ["default"], touches: "Mapping", problem: undefined },
    ...{ consumersMs: 0, mappingsMs: 0, gracePeriodMs: 2_000, reconfigMaxDelayMs: 1_000 },
    pods: [
      {
        pod: { name: "pod-1", address: "10.0.0.1" },
        seenAt: new Date("2026-01-01"),
        answer: { page, wanted: clusters.names, askedMs: 0, askedAt: new Date("2026-01-01") },
        failure: undefined,
        ...{ isResponsive: true, progress: undefined, neededMs: 1_000, gracePeriodMs: 2_000 },
      },
    ],
  };
  const search = {
    contexts: [{ name: "web", ambassadorIds: ["default"] }],
    ...{ wanted: { leaf: 2_000, root: 9_000 }, leafNotAfter: new Date(2_000_000), sinceMs: 0 },
    problems: noProblems,
  };
  const { emissaries } = evaluate(search, [observation], { date: new Date("2026-01-01"), elapsedMs: 0 });
  return { emissary: { name, observation, pollSoon: () => undefined }, evaluations: emissaries };
}
