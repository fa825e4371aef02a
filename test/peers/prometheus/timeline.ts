import { textOf } from "../../fixtures/metrics.ts";
import type { Metrics } from "../../../src/telemetry/metrics.ts";

/** What the pods of attaché serve for a while. */
export interface Stretch {
  /** In scrapes, one each {@link scrapeSeconds}. */
  readonly scrapes: number;
  /** Absent: none is scraped. */
  readonly pods?: Readonly<Record<string, Metrics>> | undefined;
}

export const scrapeSeconds = 15;

/** The namespace of the pods, which Prometheus adds to series that have none of their own. */
export const podNamespace = "attache-system";

interface InputSeries {
  readonly series: string;
  readonly values: string;
}

/** The series that Prometheus has after the stretches, as promtool wants them; with `honor_labels`. */
export async function seriesOf(stretches: readonly Stretch[]): Promise<InputSeries[]> {
  const values = new Map<string, string[]>();
  let scrapes = 0;
  for (const stretch of stretches) {
    const present = new Set<string>();
    for (const [pod, metrics] of Object.entries(stretch.pods ?? {}))
      for (const [, name = "", inBraces = "", value = ""] of (await textOf(metrics)).matchAll(
        /^(attache_\w+)\{(.*)\} (\S+)$/gm,
      )) {
        const own = inBraces.includes('namespace="') ? "" : `,namespace="${podNamespace}"`;
        const series = `${name}{${inBraces}${own},pod="${pod}"}`;
        const samples = values.get(series) ?? Array.from({ length: scrapes }, () => "_");
        samples.push(...Array.from({ length: stretch.scrapes }, () => value));
        values.set(series, samples);
        present.add(series);
      }
    scrapes += stretch.scrapes;
    // Prometheus marks what a scrape lacks.
    for (const samples of values.values())
      while (samples.length < scrapes) samples.push(samples.at(-1)?.match(/^(?:stale|_)$/) ? "_" : "stale");
  }
  return Array.from(values, ([series, samples]) => ({ series, values: samples.join(" ") }));
}
