import { setImmediate } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { runStore, type StoreRun } from "../../../test/peers/kubernetes/store-run.ts";
import type { Status } from "../../api/mesh-certificate.ts";
import { keyOf } from "../../api/mesh-certificate.ts";
import { pathOf, resources } from "../../kube/resources.ts";
import { seenIdentity } from "./identity.ts";
import { NamespaceLimit } from "./namespace-limit.ts";

function create({ peer, namespace }: StoreRun, name: string): Promise<void> {
  return peer.put(`${namespace}/${name}`, { consul: { service: name } });
}

async function publishedCondition({ cluster: { admin }, namespace }: StoreRun, name: string) {
  const path = pathOf(resources.meshCertificates, { namespace, name });
  const { status } = await admin.get<{ readonly status?: Status }>(path);
  return status?.conditions.find(({ type }) => type === "Published");
}

async function nextIdentity({ events }: StoreRun): Promise<string> {
  return keyOf((await events.next("identity")).identity).split("/")[1] ?? "";
}

describe("of a namespace with more identities than the limit", () => {
  it("those above it say so in their status, with the count, the limit and the setting", async () => {
    await using run = await runStore(fakeCluster(), { identitiesPerNamespace: 2 });
    for (const name of ["one", "two"]) {
      await create(run, name);
      expect(await nextIdentity(run)).toBe(name);
    }
    await create(run, "three");
    expect((await run.events.next("invalid")).error).toMatchObject({ code: "ATTACHE_STORE_TOO_MANY" });
    await vi.waitFor(async () =>
      expect(await publishedCondition(run, "three")).toMatchObject({ status: "False", reason: "TooMany" }),
    );
    const { message = "" } = (await publishedCondition(run, "three")) ?? {};
    for (const part of ["one of 3", "serves 2", "limits.identitiesPerNamespace"])
      expect(message).toContain(part);
  });

  it("those above it are served, one by one, when others go", async () => {
    await using run = await runStore(fakeCluster(), { identitiesPerNamespace: 2 });
    for (const name of ["one", "two"]) {
      await create(run, name);
      await run.events.next("identity");
    }
    for (const name of ["three", "four", "five"]) {
      await create(run, name);
      await run.events.next("invalid");
    }
    for (const [gone, served] of [
      ["one", "three"],
      ["three", "four"],
    ] as const) {
      await run.peer.remove(`${run.namespace}/${gone}`);
      expect(keyOf((await run.events.next("gone")).identity)).toBe(`${run.namespace}/${gone}`);
      expect((await run.events.next("identity")).identity).toMatchObject({
        metadata: { name: served },
        spec: { consul: { service: served } },
      });
    }
  });

  it("what was published before is served before others, also after a restart", async () => {
    await using run = await runStore(fakeCluster(), { identitiesPerNamespace: 1 });
    await create(run, "published");
    const { identity } = await run.events.next("identity");
    await run.store.apply(identity, targetOf(identity, "1", run.peer.installation));
    await run.stop();
    await create(run, "another");
    await run.restart();
    const three = [await run.events.any(), await run.events.any(), await run.events.any()];
    const served = three.flatMap((event) => (event.type === "identity" ? event.identity.metadata.name : []));
    expect([served, three.map(({ type }) => type).toSorted()]).toEqual([
      ["published"],
      ["identity", "invalid", "synced"],
    ]);
  });

  it("no more than two statuses are written at a time", async () => {
    await using run = await runStore(fakeCluster(), { identitiesPerNamespace: 1 });
    const waiting: (() => void)[] = [];
    run.peer.intercept = ({ path }) =>
      path.endsWith("/status") ? new Promise<void>((resolve) => void waiting.push(resolve)) : undefined;
    for (let index = 0; index < 12; index += 1) {
      await create(run, `web-${index}`);
      await run.events.next(index === 0 ? "identity" : "invalid");
    }
    for (let written = 0; written < 11; written += 1) {
      await vi.waitFor(() => expect(waiting).not.toEqual([]));
      await setImmediate();
      expect(waiting.length).toBeLessThanOrEqual(2);
      waiting.shift()?.();
    }
  });

  it("only metadata is kept of those above it", () => {
    const limit = new NamespaceLimit(1);
    const seen = (name: string) =>
      seenIdentity({
        metadata: {
          ...{ name, namespace: "shop", uid: name, resourceVersion: "1" },
          annotations: { note: "x".repeat(100) },
        },
        spec: { consul: { service: "y".repeat(100) } },
      });
    expect(limit.count(limit.reduce(seen("one")))).toBeUndefined();
    const kept = limit.reduce(seen("two"));
    expect(kept.metadata).toMatchObject({ name: "two", annotations: {} });
    expect(JSON.stringify(kept)).not.toMatch(/x{100}|y{100}/);
  });
});
