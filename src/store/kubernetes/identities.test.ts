import { expect, it, onTestFinished, vi } from "vitest";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { startClusterPeer } from "../../../test/peers/kubernetes/store-peer.ts";
import { mapping, scriptedUses } from "../../../test/peers/kubernetes/store-run.ts";
import { Identities } from "./identities.ts";

/** How many identities are looked at when a consumer of one context changes, by the number of identities. */
async function lookedAt(count: number): Promise<number> {
  const peer = await startClusterPeer(fakeCluster());
  const uses = scriptedUses();
  for (let index = 0; index < count; index += 1) {
    await peer.put(`${peer.namespace}/web-${index}`, { consul: { service: "web" } });
  }
  const store = await peer.open({ uses });
  onTestFinished(() => store[Symbol.asyncDispose]());
  const events = store.watch(new AbortController().signal);
  for (let index = 0; index <= count; index += 1) await events.next();
  const [get, keys] = [vi.spyOn(Identities.prototype, "get"), vi.spyOn(Identities.prototype, "keys")];
  uses.set("web-1", [mapping]);
  expect(await events.next()).toMatchObject({ value: { type: "uses", key: `${peer.namespace}/web-1` } });
  expect(keys).not.toHaveBeenCalled();
  const looks = get.mock.calls.length;
  vi.restoreAllMocks();
  return looks;
}

it("a change of a consumer costs a look at the identities of its context, however many others there are", async () => {
  expect(await lookedAt(2)).toBeGreaterThan(0);
  expect(await lookedAt(300)).toBe(await lookedAt(2));
});
