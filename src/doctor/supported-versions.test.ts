import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { supportedVersions, versionProblem } from "./supported-versions.ts";

it.each([
  ["Kubernetes", "v1.36.3", undefined],
  ["Kubernetes", "v1.30.0-eks-a737599", undefined],
  ["Kubernetes", "v1.29.9", "older than what attaché is made for, 1.30 to 1.36"],
  ["Kubernetes", "v1.37.0", "newer than what attaché is made for, 1.30 to 1.36"],
  ["Emissary", "4.1.0", undefined],
  ["Emissary", "3.12.1", "older than what attaché is made for, 4.0 to 4.1"],
  ["Emissary", "garbage", "older than what attaché is made for, 4.0 to 4.1"],
] as const)("%s %s: %s", (product, version, message) => {
  expect(versionProblem(product, version)?.message).toBe(message);
});

it("stands in the documentation as here", async () => {
  const page = await readFile(new URL("../../docs/kubernetes.md", import.meta.url), "utf8");
  for (const [product, { from, to }] of Object.entries(supportedVersions))
    expect(page).toMatch(new RegExp(`^\\| ${product} +\\| ${from} to ${to} `, "m"));
});
