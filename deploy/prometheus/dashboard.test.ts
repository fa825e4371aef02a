import { describe, expect, it } from "vitest";
import { allValues, dashboardFile } from "./dashboard.ts";
import { labelsOf, metricOf } from "./expressions.ts";
import { type Panel, rows } from "./panels.ts";

interface Placed {
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

const dashboard = JSON.parse(dashboardFile()) as {
  readonly panels: readonly Placed[];
  readonly templating: { readonly list: readonly { readonly name: string }[] };
};

/** Names before a brace or at the end of a selector, with what the braces hold. */
function selectorsOf(expr: string): { readonly series: string; readonly matchers: string }[] {
  return [...expr.matchAll(/\b((?:attache|process|nodejs)_\w+|ALERTS)\b\{([^}]*)\}/g)].map(
    ([, series = "", matchers = ""]) => ({ series, matchers }),
  );
}

function keptBy(expr: string): Set<string> {
  const all = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, labels = ""]) => labels.split(", "));
  return new Set(all);
}

const panels = rows.flatMap((row) => row.panels.map((panel) => [panel.title, panel] as [string, Panel]));

describe.each(panels)("the panel %s", (_, { title, queries, columns }) => {
  const { targets = [] } =
    dashboard.panels.find((panel) => panel.title === title && panel.type !== "row") ?? {};

  it("reads metrics that attaché has, in the clusters and installations that the reader chose", () => {
    for (const { expr } of targets) {
      const selectors = selectorsOf(expr);
      expect(selectors).not.toEqual([]);
      for (const { series, matchers } of selectors) {
        expect([series, matchers]).toEqual([
          series,
          expect.stringMatching(/^cluster=~"\$cluster", installation=~"\$installation\|?"/),
        ]);
        if (series.startsWith("attache_")) expect([series, metricOf(series)]).not.toContain(undefined);
        const used = [...matchers.matchAll(/(\w+)(?:=|!=|=~|!~)"/g)].map(([, label = ""]) => label);
        const known = [...labelsOf(series), "alertname", "alertstate"];
        expect(used.filter((label) => series !== "ALERTS" && !known.includes(label))).toEqual([]);
      }
    }
  });

  it("groups by labels that its metrics have", () => {
    for (const { expr } of targets) {
      const known = new Set(selectorsOf(expr).flatMap(({ series }) => labelsOf(series)));
      if (expr.includes("ALERTS"))
        for (const one of ["alertname", "alertstate", "severity", "name", "mesh"]) known.add(one);
      expect([...keptBy(expr)].filter((label) => !known.has(label))).toEqual([]);
    }
  });

  it("shows labels that its queries keep", () => {
    for (const [expr, legend] of queries) {
      const kept = keptBy(expr);
      const shown = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = ""]) => label);
      const all = [...shown, ...Object.keys(columns?.labels ?? {})];
      if (kept.size > 0) expect(all.filter((label) => !kept.has(label))).toEqual([]);
    }
  });
});

describe("the dashboard", () => {
  it("has no panel over another, and none beside the 24 columns", () => {
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      expect([title, gridPos.x + gridPos.w]).toEqual([title, expect.any(Number)]);
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect([title, taken.has(`${x} ${y}`)]).toEqual([title, false]);
          taken.add(`${x} ${y}`);
        }
    }
  });

  it("has no two panels of one title", () => {
    const titles = dashboard.panels.map(({ title }) => title);
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
  });

  it("uses the variables that it has, and no other", () => {
    const used = [...dashboardFile().matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = ""]) => name);
    const known = dashboard.templating.list.map(({ name }) => name);
    expect([...new Set(used)].toSorted()).toEqual([...known].toSorted());
    expect([...allValues.keys()]).toEqual(known.filter((name) => name !== "datasource"));
  });
});
