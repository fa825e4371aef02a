import { readdir, readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { definitions, type MetricName } from "../../src/telemetry/definitions.ts";
import { alerts, anyInstallation, rulesFile } from "./alerts.ts";

const runbooks = new URL("../../docs/runbooks/", import.meta.url);

describe.each(alerts.map((alert) => [alert.name, alert] as const))("%s", (name, alert) => {
  it("has a runbook that says what it means, where to look, what to do, and shows an example", async () => {
    const text = await readFile(new URL(`${name}.md`, runbooks), "utf8");
    expect([...text.matchAll(/^#+ .*$/gm)].map(([heading]) => heading)).toEqual([
      ...[`# ${name}`, "## Meaning", "## Look", "## Act", "## Example"],
    ]);
    expect(text).toMatch(/## Example\n[^]*```\n[^]+\n```/);
  });

  it("groups by labels that its metrics have, or Prometheus adds to a target", () => {
    const metrics = [...alert.expr.matchAll(/\battache_\w+/g)].map(
      ([metric]) => definitions[metric as MetricName],
    );
    expect(metrics).not.toContain(undefined);
    const known = new Set(metrics.flatMap(({ labels }): readonly string[] => labels));
    for (const label of ["cluster", "namespace", "installation"]) known.add(label);
    const grouped = [...alert.expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, labels = ""]) =>
      labels.split(", "),
    );
    expect(grouped.filter((label) => !known.has(label))).toEqual([]);
  });

  it("shows only labels that its expression keeps", () => {
    const kept = new Set(
      [...alert.expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, labels = ""]) => labels.split(", ")),
    );
    const shown = [...`${alert.summary} ${alert.description}`.matchAll(/\$labels\.(\w+)/g)];
    expect(shown.filter(([, label = ""]) => !kept.has(label))).toEqual([]);
  });

  it("does not overwrite a label of its series with its severity", () => {
    const [outermost = ""] = /\bby \(([^)]*)\)/.exec(alert.expr) ?? [];
    expect(outermost).not.toMatch(/\bseverity\b/);
  });
});

describe("the rules", () => {
  it("select the installation in each metric, for the chart to name its own", () => {
    const selectors = [...rulesFile().matchAll(/\battache_\w+(?:\{([^},]*))?/g)].map(([, first]) => first);
    expect(new Set(selectors)).toEqual(new Set([anyInstallation]));
  });

  it("have a runbook each, and no other is there", async () => {
    const files = (await readdir(runbooks)).filter((file) => file !== "README.md");
    expect(files.toSorted()).toEqual(alerts.map(({ name }) => `${name}.md`).toSorted());
  });
});
