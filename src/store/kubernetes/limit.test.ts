import { setImmediate } from "node:timers/promises";
import { expect, it } from "vitest";
import { targetOf } from "../../../test/conformance/store-target.ts";
import { fakeCluster } from "../../../test/fixtures/fake-cluster.ts";
import { startClusterPeer } from "../../../test/peers/kubernetes/store-peer.ts";
import { follow } from "../../../test/conformance/store-scenario.ts";

it("the store has no limit of concurrency of its own: every apply that is asked for sends its request", async () => {
  await using peer = await startClusterPeer(fakeCluster());
  const store = await peer.open();
  await using events = follow(store);
  await events.next("synced");
  const count = 100;
  const keys = Array.from({ length: count }, (_, index) => `svc-${index}`);
  const identities = [];
  for (const name of keys) {
    await peer.put(`${peer.namespace}/${name}`, { consul: { service: name } });
    identities.push((await events.next("identity")).identity);
  }
  const answer = Promise.withResolvers<undefined>();
  let waiting = 0;
  peer.intercept = () => {
    waiting += 1;
    return answer.promise;
  };
  const applies = identities.map((one) => store.apply(one, targetOf(one, "1", peer.installation)));
  await expect.poll(() => waiting).toBe(count);
  answer.resolve(undefined);
  expect(await Promise.all(applies)).toEqual(keys.map(() => ({ writes: 3 })));
  await setImmediate();
  await store[Symbol.asyncDispose]();
});
