import { expect, it } from "vitest";
import { FreshLook } from "./fresh-look.ts";

it("a look is shared by all who asked before it began, and answers nobody who asked after", async () => {
  const begun: PromiseWithResolvers<string>[] = [];
  const look = new FreshLook(() => {
    const one = Promise.withResolvers<string>();
    begun.push(one);
    return one.promise;
  });
  const first = look.now();
  const others = [look.now(), look.now()];
  expect(begun).toHaveLength(1);
  begun[0]?.reject(new Error("the test says no"));
  await expect(first).rejects.toThrow("the test says no");
  await expect.poll(() => begun.length).toBe(2);
  begun[1]?.resolve("second");
  expect(await Promise.all(others)).toEqual(["second", "second"]);
  const last = look.now();
  begun[2]?.resolve("third");
  expect(await last).toBe("third");
  expect(begun).toHaveLength(3);
});
