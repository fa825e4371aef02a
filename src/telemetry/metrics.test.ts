import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { createMetrics } from "./metrics.ts";

it("has a line in docs/metrics.md for each metric, and no other", async () => {
  const metrics = createMetrics({ version: "1.2.3", identities: () => [] });
  const registered = [...(await metrics.text()).matchAll(/^# TYPE (attache_\w+)/gm)].map(([, name]) => name);
  const page = await readFile(new URL("../../docs/metrics.md", import.meta.url), "utf8");
  const documented = [...page.matchAll(/^\| `(attache_\w+)`/gm)].map(([, name]) => name);
  expect(documented.toSorted()).toEqual(registered.toSorted());
});
