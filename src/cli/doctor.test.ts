import { expect, it } from "vitest";
import { remediesOf } from "./doctor.ts";

it("says each remedy once, after the checks that it is for", () => {
  const check = { status: "failed", message: "fails" } as const;
  const remedy = "Run `attache inspect NAME`.";
  const checks = [
    { ...check, name: "identity of mesh one", remedy },
    { ...check, name: "clocks", remedy: "Set the clock." },
    { ...check, name: "identity of mesh two", remedy },
    { name: "lease", status: "ok", message: "works" } as const,
  ];
  expect(remediesOf(checks)).toEqual([
    "identity of mesh one, identity of mesh two: Run `attache inspect NAME`.",
    "clocks: Set the clock.",
  ]);
});
