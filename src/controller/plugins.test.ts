import { describe, expect, it, vi } from "vitest";
import { identity } from "../../test/fixtures/identity.ts";
import { misbehaviours } from "../../test/fixtures/misbehaviours.ts";
import { startReconciliation } from "../../test/fixtures/reconciliation.ts";

interface Line {
  readonly level: string;
  readonly msg: string;
  readonly code?: string;
  readonly err?: { readonly code?: string };
}

describe("a plug-in", { tags: ["heavy"] }, () => {
  it.each(misbehaviours)(
    "that $that is reported once and asked again with back-off, and harms no other",
    async (one) => {
      const asked: number[] = [];
      let isSound = false;
      await using run = await startReconciliation({
        watch(sound, options) {
          if (isSound || options.namespace === "other") return sound();
          asked.push(run.clock.elapsedMs());
          return one.watch(sound, options);
        },
      });
      run.store.put(identity());
      await vi.waitFor(() => expect(asked).toHaveLength(1));
      const codes = () =>
        run.logged
          .map((line) => JSON.parse(line) as Line)
          .filter(({ level }) => /warn|error/.test(level))
          .map(({ code, err }) => code ?? err?.code);
      const expected = one.code === undefined ? [] : [one.code];
      await vi.waitFor(() => expect(codes()).toEqual(expected));
      const pauses = () => asked.slice(1).map((ms, index) => ms - (asked[index] ?? 0));
      // Some do work on other threads, for which no time of the clock passes.
      await vi.waitFor(async () => {
        await run.clock.advance(30_000);
        if (one.code !== undefined) expect(Math.max(...pauses())).toBeGreaterThan(8_000);
      });
      expect(Math.min(...pauses())).toBeGreaterThan(0);
      expect(codes()).toEqual(expected);
      expect(JSON.stringify(run.status()).length).toBeLessThan(4_000);

      const other = identity("billing", { consul: { service: "billing" } });
      run.store.put({ ...other, metadata: { ...other.metadata, namespace: "other" } });
      const ready = () => run.store.statuses.get("other/billing")?.conditions[0];
      await vi.waitFor(() => expect(ready()).toMatchObject({ type: "Ready", status: "True" }));

      isSound = true;
      // Its old watch must end for that, although it may not heed its signal.
      run.store.put(identity("storefront", { consul: { service: "another" } }));
      await run.until("Ready", "True/Valid");
      expect(run.status()?.spiffeId).toMatch(/another$/);
    },
  );

  it("that yields on after its watch was ended is not heard", async () => {
    const late = Promise.withResolvers<undefined>();
    let watches = 0;
    await using run = await startReconciliation({
      watch: (sound) => {
        watches += 1;
        return watches > 1 ? sound() : yieldingOn(sound(), late.promise);
      },
    });
    run.store.put(identity());
    await run.until("Ready", "True/Valid");
    run.store.put(identity("storefront", { consul: { service: "another" } }));
    await vi.waitFor(() => expect(run.status()?.spiffeId).toMatch(/another$/));
    const { length } = run.store.writes;
    late.resolve(undefined);
    await run.clock.advance(60_000);
    expect(run.store.writes).toHaveLength(length);
    expect(run.status()?.conditions.map(({ status }) => status)).toEqual(["True", "True", "True"]);
  });
});

/** Gives the first of `sound`, and the same again after `late`; has no way to be ended. */
function yieldingOn<T>(sound: AsyncIterable<T>, late: Promise<unknown>): AsyncIterable<T> {
  const iterator = sound[Symbol.asyncIterator]();
  const first = iterator.next();
  let isFirst = true;
  return {
    [Symbol.asyncIterator]: () => ({
      next() {
        if (isFirst) {
          isFirst = false;
          return first;
        }
        return late.then(() => first);
      },
    }),
  };
}
