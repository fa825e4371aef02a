import { definitions } from "../../src/telemetry/definitions.ts";
import { metricOf, withMatchers } from "./expressions.ts";
import { type Panel, rows } from "./panels.ts";

/** The variables that a reader chooses by; `namespace` is that of MeshCertificates and consumers. */
const variables = [
  ["cluster", "label_values(attache_build_info, cluster)", ".*"],
  ["installation", 'label_values(attache_build_info{cluster=~"$cluster"}, installation)', ".+"],
  [
    "namespace",
    'label_values(attache_identity_info{cluster=~"$cluster", installation=~"$installation"}, namespace)',
    ".*",
  ],
] as const;

/** What stands for all values of a variable: also for none, as of `cluster` where only one is there. */
export const allValues: ReadonlyMap<string, string> = new Map(variables.map(([name, , all]) => [name, all]));

const datasource = { type: "prometheus", uid: "${datasource}" };

/** The dashboard as Grafana imports it, from version 10 on. */
export function dashboardFile(): string {
  const dashboard = {
    uid: "attache",
    title: "attaché",
    description: "Workload certificates of service meshes for Emissary-ingress.",
    tags: ["attache", "certificates"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-6h", to: "now" },
    timezone: "browser",
    templating: { list: [datasourceVariable, ...variables.map(variableOf)] },
    annotations: { list: [] },
    links: [],
    panels: placedPanels(),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

const datasourceVariable = {
  ...{ name: "datasource", label: "data source", type: "datasource", query: "prometheus" },
  ...{ hide: 0, refresh: 1, multi: false, includeAll: false, current: {}, options: [], regex: "" },
};

function variableOf([name, query, allValue]: (typeof variables)[number]) {
  return {
    ...{ name, label: name, type: "query", datasource, query: { query, refId: name }, definition: query },
    ...{ hide: 0, refresh: 2, sort: 1, multi: true, includeAll: true, allValue, regex: "", options: [] },
    current: { text: ["All"], value: ["$__all"] },
  };
}

/** The matchers of the variables that a series has labels for. */
function matchersOf(series: string): string {
  // An alert about an installation that is gone has no label of it.
  if (series === "ALERTS") return 'cluster=~"$cluster", installation=~"$installation|"';
  const metric = metricOf(series);
  const labels: readonly string[] = metric === undefined ? [] : definitions[metric].labels;
  const both = 'cluster=~"$cluster", installation=~"$installation"';
  return labels.includes("namespace") ? `${both}, namespace=~"$namespace"` : both;
}

/** Each panel after the other, from left to right and from top to bottom. */
function placedPanels(): object[] {
  let id = 0;
  let [x, y, height] = [0, 0, 0];
  const place = (width: number, high: number) => {
    if (x + width > 24) [x, y, height] = [0, y + height, 0];
    const gridPos = { x, y, w: width, h: high };
    [x, height] = [x + width, Math.max(height, high)];
    return { id: (id += 1), gridPos };
  };
  return rows.flatMap(({ title, panels }) => [
    { type: "row", title, collapsed: false, panels: [], ...place(24, 1) },
    ...panels.map((panel) => ({ ...place(panel.width, panel.kind === "number" ? 4 : 8), ...panelOf(panel) })),
  ]);
}

function panelOf(panel: Panel): object {
  const { title, description, kind, queries } = panel;
  const isNow = kind === "number" || kind === "table";
  const targets = queries.map(([expr, legendFormat], index) => ({
    ...{ refId: String.fromCharCode(65 + index), datasource, expr: withMatchers(expr, matchersOf) },
    ...{ legendFormat, editorMode: "code" },
    ...(isNow ? { instant: true, range: false } : { instant: false, range: true }),
    ...(kind === "table" && { format: "table" }),
  }));
  return { ...{ title, description, datasource, targets }, ...visualizationOf(panel) };
}

function visualizationOf(panel: Panel): object {
  const { kind, unit = "short", columns } = panel;
  const thresholds = thresholdsOf(panel);
  const common = { unit, thresholds, ...(unit === "short" && { decimals: 0 }) };
  switch (kind) {
    case "number":
      return {
        type: "stat",
        fieldConfig: { defaults: { ...common, color: { mode: "thresholds" } }, overrides: [] },
        options: {
          ...{ colorMode: "background", graphMode: "none", textMode: "value", justifyMode: "center" },
          reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
        },
      };
    case "table":
      return {
        type: "table",
        fieldConfig: { defaults: { ...common, color: { mode: "thresholds" } }, overrides: [] },
        options: { showHeader: true, footer: { show: false } },
        transformations: columns === undefined ? [] : transformationsOf(columns),
      };
    case "states":
      return {
        type: "state-timeline",
        fieldConfig: {
          defaults: { ...common, mappings: [connection], color: { mode: "thresholds" } },
          overrides: [],
        },
        options: { mergeValues: true, showValue: "never", rowHeight: 0.8, legend: { showLegend: false } },
      };
    case "lines":
    case "bars": {
      const isBars = kind === "bars";
      const custom = {
        ...{ drawStyle: isBars ? "bars" : "line", fillOpacity: isBars ? 60 : 8, lineWidth: isBars ? 0 : 1 },
        ...{ showPoints: "never", spanNulls: false, axisSoftMin: 0 },
        stacking: { mode: isBars ? "normal" : "none", group: "A" },
        thresholdsStyle: { mode: panel.limits === undefined ? "off" : "dashed" },
      };
      return {
        type: "timeseries",
        fieldConfig: {
          // Parts of a number, as rates are, need their decimals.
          defaults: { unit, thresholds, custom, color: { mode: "palette-classic" } },
          overrides: [],
        },
        options: {
          legend: { displayMode: "list", placement: "bottom", showLegend: true, calcs: [] },
          tooltip: { mode: "multi", sort: "desc" },
        },
      };
    }
  }
}

const connection = {
  type: "value",
  options: {
    0: { text: "not connected", color: "red", index: 0 },
    1: { text: "connected", color: "green", index: 1 },
  },
};

/** From the lowest value on. */
function thresholdsOf({ kind, limits }: Panel) {
  if (kind === "states") return { mode: "absolute", steps: [step(null, "red"), step(1, "green")] };
  if (limits === undefined) return { mode: "absolute", steps: [step(null, "blue")] };
  const { bad, warning, alarm } = limits;
  const steps =
    bad === "above"
      ? [step(null, "green"), ...(warning < alarm ? [step(warning, "orange")] : []), step(alarm, "red")]
      : [step(null, "red"), step(alarm, "orange"), step(warning, "green")];
  return { mode: "absolute", steps };
}

function step(value: number | null, color: string) {
  return { value, color };
}

function transformationsOf({ labels, value }: NonNullable<Panel["columns"]>): object[] {
  const names = [...Object.keys(labels), ...(value === undefined ? [] : ["Value"])];
  return [
    { id: "filterFieldsByName", options: { include: { names } } },
    {
      id: "organize",
      options: {
        indexByName: Object.fromEntries(names.map((name, index) => [name, index])),
        renameByName: { ...labels, ...(value !== undefined && { Value: value }) },
        excludeByName: {},
      },
    },
  ];
}
