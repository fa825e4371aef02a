import { expect, it } from "vitest";
import { manualClock } from "../../test/fixtures/clock.ts";
import { consoleIdentity, shown, unreachable } from "../../test/fixtures/console.ts";
import { Commands } from "./commands.ts";
import { Snapshots } from "./snapshots.ts";

it("lets the event loop have its turns while it looks at thousands of identities, and counts them", async () => {
  const count = 5_000;
  const identities = Array.from({ length: count }, (_, index) =>
    consoleIdentity(`svc-${index}`, index % 2 === 0 ? {} : { conditions: [unreachable] }),
  );
  const snapshots = new Snapshots(shown({ identities }), manualClock());
  expect(await turnsDuring(() => snapshots.refresh())).toBeGreaterThan(1);
  const { counts, causes } = await snapshots.tally(new Commands({ isCluster: true }));
  expect(counts).toMatchObject({ good: count / 2, warning: count / 2 });
  expect(causes).toMatchObject([{ count: count / 2, type: "SourceReady" }]);
});

async function turnsDuring(work: () => Promise<void>): Promise<number> {
  let turns = 0;
  let next = setImmediate(turn);
  function turn(): void {
    turns += 1;
    next = setImmediate(turn);
  }
  await work();
  clearImmediate(next);
  return turns;
}
