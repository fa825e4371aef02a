import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Prometheus, Sample, Series } from "./server.ts";

/** A panel, as far as it matters here. */
export interface DashboardPanel {
  readonly title: string;
  readonly type: "row" | "stat" | "timeseries" | "table" | "state-timeline";
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets: readonly Query[];
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: string;
      readonly thresholds: {
        readonly steps: readonly { readonly value: number | null; readonly color: string }[];
      };
      readonly custom?: { readonly drawStyle: "line" | "bars" };
    };
  };
  readonly transformations?: readonly [
    unknown,
    { readonly options: { readonly renameByName: Readonly<Record<string, string>> } },
  ];
}

interface Query {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
}

type Values = Readonly<Record<string, string>>;

const file = join(import.meta.dirname, "../../../deploy/prometheus/dashboard.json");

/** The dashboard as Grafana reads it, with its variables set to all. */
export async function readDashboard() {
  const { panels, templating } = JSON.parse(await readFile(file, "utf8")) as {
    readonly panels: readonly (Omit<DashboardPanel, "targets"> & { readonly targets?: readonly Query[] })[];
    readonly templating: { readonly list: readonly { readonly name: string; readonly allValue?: string }[] };
  };
  const variables = templating.list.flatMap(({ name, allValue }) =>
    allValue === undefined ? [] : [[name, allValue] as const],
  );
  return {
    panels: panels.map((panel): DashboardPanel => ({ ...panel, targets: panel.targets ?? [] })),
    variables: Object.fromEntries(variables) as Values,
  };
}

/** What Grafana sends to Prometheus, which scrapes each second here. */
export function choosing(expr: string, values: Values): string {
  return expr.replace(/\$(\w+)/g, (_, name: string) =>
    name === "__rate_interval" ? "15s" : (values[name] ?? ""),
  );
}

export interface Range {
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

interface Drawn {
  readonly legend: string;
  readonly series: Series;
}

/** By title. Of numbers and tables the last value counts. */
export async function seriesOfPanels(
  prometheus: Prometheus,
  panels: readonly DashboardPanel[],
  values: Values,
  range: Range,
): Promise<ReadonlyMap<string, readonly Drawn[]>> {
  const found = new Map<string, readonly Drawn[]>();
  for (const { title, type, targets } of panels) {
    const drawn = await Promise.all(
      targets.map(async ({ expr, legendFormat }) => {
        const query = choosing(expr, values);
        const isNow = type === "stat" || type === "table";
        const all = isNow
          ? (await prometheus.query(query)).map((sample) => atEnd(sample, range))
          : await prometheus.queryRange(query, range);
        return all.map((series) => ({ legend: legendOf(legendFormat, series.metric), series }));
      }),
    );
    found.set(title, drawn.flat());
  }
  return found;
}

function atEnd({ metric, value }: Sample, { end }: Range): Series {
  return { metric, values: [[end, value]] };
}

function legendOf(format: string, metric: Series["metric"]): string {
  return format.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? "").trim();
}

const colors = ["#5794f2", "#73bf69", "#ff9830", "#f2495c", "#b877d9", "#fade2a", "#8ab8ff", "#96d98d"];
const named: Values = { green: "#56a64b", orange: "#ff780a", red: "#e02f44", blue: "#3274d9" };

const escaped = (text: string) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

/** The panels as Grafana places them, drawn simply. */
export function drawnPanels(
  panels: readonly DashboardPanel[],
  data: ReadonlyMap<string, readonly Drawn[]>,
  range: Range,
): string {
  const all = panels.map((panel) => {
    const { x, y, w, h } = panel.gridPos;
    const place = `grid-area:${y + 1}/${x + 1}/span ${h}/span ${w}`;
    if (panel.type === "row") return `<h2 style="${place}">${escaped(panel.title)}</h2>`;
    const body = bodyOf(panel, data.get(panel.title) ?? [], range);
    return `<section style="${place}"><h3>${escaped(panel.title)}</h3>${body}</section>`;
  });
  return `<!doctype html><meta charset="utf-8"><style>${style}</style><main>${all.join("")}</main>`;
}

const style = `body{margin:0;background:#f4f5f5;font:12px/1.35 "DejaVu Sans",sans-serif;color:#24292e}
main{display:grid;grid-template-columns:repeat(24,1fr);grid-auto-rows:26px;gap:6px;padding:10px}
h2{margin:0;font-size:14px;align-self:end}h3{margin:0 0 4px;font-size:12px;font-weight:600}
section{background:#fff;border:1px solid #e0e0e0;border-radius:3px;padding:6px 8px;overflow:hidden;min-width:0;display:flex;flex-direction:column}
svg{width:100%;flex:1;min-height:0}.number{flex:1;display:grid;place-items:center;color:#fff;border-radius:3px;font-size:30px;font-weight:600}
p{margin:2px 0 0;max-height:32px;overflow:hidden;font-size:11px;color:#555}p span{white-space:nowrap;margin-right:8px}
table{border-collapse:collapse;font-size:11px;width:100%}th{text-align:left;color:#777;font-weight:400}td,th{padding:2px 8px 2px 0;white-space:nowrap}
text{font-size:10px;fill:#777}.none{margin:auto;color:#999}`;

function bodyOf(panel: DashboardPanel, drawn: readonly Drawn[], range: Range): string {
  const { unit } = panel.fieldConfig.defaults;
  switch (panel.type) {
    case "stat": {
      const value = drawn[0]?.series.values[0]?.[1];
      const text = value === undefined ? "–" : valueText(value, unit);
      return `<div class="number" style="background:${colorOf(panel, value)}">${text}</div>`;
    }
    case "table":
      return drawn.length === 0 ? nothing : tableOf(panel, drawn);
    case "state-timeline":
      return drawn.length === 0 ? nothing : bandsOf(panel, drawn, range);
    case "row":
    case "timeseries":
      return drawn.length === 0 ? nothing : plotOf(panel, drawn, range);
  }
}

const nothing = `<span class="none">nothing</span>`;

function colorOf({ fieldConfig }: DashboardPanel, value = 0): string {
  const { steps } = fieldConfig.defaults.thresholds;
  const color = steps.findLast((step) => step.value === null || value >= step.value)?.color;
  return named[color ?? ""] ?? "#777";
}

function tableOf(panel: DashboardPanel, drawn: readonly Drawn[]): string {
  const { renameByName: columns = {} } = panel.transformations?.[1].options ?? {};
  const used = Object.entries(columns).filter(
    ([label]) => label === "Value" || drawn.some(({ series }) => series.metric[label] !== undefined),
  );
  const rows = drawn.slice(0, 8).map(({ series: { metric, values } }) => {
    const cells = used.map(([label]) => {
      if (label !== "Value") return `<td>${escaped(metric[label] ?? "")}</td>`;
      const value = values[0]?.[1] ?? 0;
      return `<td style="color:${colorOf(panel, value)}">${valueText(value, panel.fieldConfig.defaults.unit)}</td>`;
    });
    return `<tr>${cells.join("")}</tr>`;
  });
  return `<table><tr>${used.map(([, title]) => `<th>${title}</th>`).join("")}</tr>${rows.join("")}</table>`;
}

const [height, left] = [160, 52];

/** Of a drawing, as wide as its panel. */
function widthOf({ gridPos }: DashboardPanel): number {
  return gridPos.w * 47;
}

function xOf(time: number, { start, end }: Range, width: number): number {
  return left + ((width - left) * (time - start)) / (end - start);
}

function bandsOf(panel: DashboardPanel, drawn: readonly Drawn[], range: Range): string {
  const width = widthOf(panel);
  const bands = drawn.map(({ legend, series }, row) => {
    const y = 6 + row * 40;
    const parts = series.values.map(([time, value]) => {
      const x = xOf(time, range, width);
      return `<rect x="${x.toFixed(1)}" y="${y}" width="5" height="22" fill="${value === 1 ? named["green"] : named["red"]}"/>`;
    });
    return `${parts.join("")}<text x="${left}" y="${y + 34}">${escaped(legend)}</text>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none">${bands.join("")}</svg>`;
}

function plotOf(panel: DashboardPanel, drawn: readonly Drawn[], range: Range): string {
  const { unit, custom } = panel.fieldConfig.defaults;
  const width = widthOf(panel);
  const isStacked = custom?.drawStyle === "bars";
  const sums = new Map<number, number>();
  const bases = new Map<Drawn, ReadonlyMap<number, number>>();
  for (const one of drawn) {
    bases.set(one, new Map(sums));
    for (const [time, value] of one.series.values) sums.set(time, (sums.get(time) ?? 0) + value);
  }
  const values = isStacked
    ? [...sums.values()]
    : drawn.flatMap(({ series }) => series.values.map(([, one]) => one));
  const most = Math.max(1e-9, ...values.filter(Number.isFinite)) * 1.1;
  const yOf = (value: number) => height - 6 - ((height - 14) * value) / most;
  const shapes = drawn.map((one, index) => {
    const color = colors[index % colors.length] ?? "";
    const points = one.series.values.filter(([, value]) => Number.isFinite(value));
    if (!isStacked) {
      const line = points.map(
        ([time, value]) => `${xOf(time, range, width).toFixed(1)},${yOf(value).toFixed(1)}`,
      );
      return `<polyline points="${line.join(" ")}" fill="none" stroke="${color}" stroke-width="1.5" vector-effect="non-scaling-stroke"/>`;
    }
    const base = bases.get(one);
    const bars = points.map(([time, value]) => {
      const from = base?.get(time) ?? 0;
      const top = yOf(from + value);
      return `<rect x="${xOf(time, range, width).toFixed(1)}" y="${top.toFixed(1)}" width="3.6" height="${(yOf(from) - top).toFixed(1)}" fill="${color}"/>`;
    });
    return bars.join("");
  });
  const axis = [0, 0.5, 1].map((part) => {
    const y = yOf((part * most) / 1.1);
    return `<line x1="${left}" x2="${width}" y1="${y}" y2="${y}" stroke="#e8e8e8"/><text x="0" y="${y + 4}">${valueText((part * most) / 1.1, unit)}</text>`;
  });
  const legend = drawn.map(
    ({ legend: name }, index) =>
      `<span><b style="color:${colors[index % colors.length] ?? ""}">▬</b> ${escaped(name)}</span>`,
  );
  return `<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none">${axis.join("")}${shapes.join("")}</svg><p>${legend.join(" ")}</p>`;
}

function valueText(value: number, unit: string): string {
  if (unit === "percentunit") return `${(100 * value).toFixed(0)} %`;
  if (unit === "bytes") return `${(value / 1e6).toFixed(0)} MB`;
  if (unit === "s" && Math.abs(value) > 86_400) return `${(value / 86_400).toFixed(0)} d`;
  if (unit === "s" && Math.abs(value) < 1) return `${(1_000 * value).toFixed(value < 0.01 ? 1 : 0)} ms`;
  const text = Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 0);
  return unit === "s" ? `${text} s` : unit === "reqps" || unit === "ops" ? `${text}/s` : text;
}
