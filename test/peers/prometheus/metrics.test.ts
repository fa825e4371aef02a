import { describe, expect, it } from "vitest";
import { everything, textOf } from "../../fixtures/metrics.ts";
import { promtool } from "./promtool.ts";

describe("/metrics", () => {
  it("follows the conventions of Prometheus, in names, units and help texts", async () => {
    // The lines of `process` and `nodejs` are prom-client's.
    const lines = (await textOf(everything())).split("\n");
    const own = lines.filter((line) => /^(?:# (?:HELP|TYPE) )?attache_/.test(line));
    expect(await promtool(["check", "metrics"], `${own.join("\n")}\n`)).toBe("");
  });

  it("is read whole by Prometheus", async () => {
    const cardinality = await promtool(
      ["check", "metrics", "--lint=none", "--extended"],
      await textOf(everything()),
    );
    expect(cardinality).toContain("attache_identity_condition");
    expect(cardinality).toContain("process_resident_memory_bytes");
  });
});
