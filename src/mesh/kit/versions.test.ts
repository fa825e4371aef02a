import { describe, expect, it } from "vitest";
import { versionCheck, versionProblem } from "./versions.ts";

const [kubernetes, emissary] = [
  { from: "1.30", to: "1.36" },
  { from: "4.0", to: "4.1" },
];

it.each([
  [kubernetes, "v1.36.3", undefined],
  [kubernetes, "v1.30.0-eks-a737599", undefined],
  [kubernetes, "v1.29.9", "older than what attaché is made for, 1.30 to 1.36"],
  [kubernetes, "v1.37.0", "newer than what attaché is made for, 1.30 to 1.36"],
  [emissary, "4.1.0", undefined],
  [emissary, "3.12.1", "older than what attaché is made for, 4.0 to 4.1"],
  [emissary, "garbage", "older than what attaché is made for, 4.0 to 4.1"],
  [{ from: "1.14" }, "1.99.0+ent", undefined],
  [{ from: "1.14" }, "1.13.9", "older than what attaché is made for, 1.14 or later"],
])("%o, %s: %s", (range, version, message) => {
  expect(versionProblem(range, version)?.message).toBe(message);
});

describe("what peers say of their version", () => {
  it.each([[[]], [["unknown-unknown-unknown"]], [["", "<html>"]]])("is nothing to show: %o", (versions) => {
    expect(versionCheck("Istio", versions, { from: "1.0" })).toEqual([]);
  });

  it("is shown once, without what is not fit for a terminal", () => {
    expect(versionCheck("Istio", ["1.24.0-\u001B[31mred", "1.24.0-\u001B[31mred"])).toMatchObject([
      { name: "version", status: "ok", message: expect.not.stringContaining("\u001B") as string },
    ]);
  });
});
