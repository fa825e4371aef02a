import { expect, it } from "vitest";
import { Recent } from "./recent.ts";

it("makes each thing once, until as many others have come since", () => {
  const recent = new Recent<object, string>(2);
  const [one, two, three] = [{}, {}, {}];
  const made = (key: object, name: string) => recent.of(key, () => name);
  expect([made(one, "one"), made(two, "two"), made(one, "one again")]).toEqual(["one", "two", "one"]);
  expect([made(three, "three"), made(two, "two again")]).toEqual(["three", "two"]);
  expect(made(one, "one anew")).toBe("one anew");
});
