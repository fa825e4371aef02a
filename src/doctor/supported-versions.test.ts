import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { supportedConsul } from "../../adapters/consul/checks.ts";
import { supportedVersions } from "./supported-versions.ts";

it("stands in the documentation as here", async () => {
  const page = await readFile(new URL("../../docs/kubernetes.md", import.meta.url), "utf8");
  for (const [product, { from, to }] of Object.entries(supportedVersions))
    expect(page).toMatch(new RegExp(`^\\| ${product} +\\| ${from} to ${to} `, "m"));
  expect(page).toMatch(new RegExp(`^\\| Consul +\\| ${supportedConsul.from} or later `, "m"));
});
