/** The two formats that Prometheus and its kin read, with the media types that they ask for and get. */
export const contentTypes = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
} as const;

export type Format = keyof typeof contentTypes;

/** OpenMetrics for whoever names it in `Accept`, as Prometheus has done since 2.5; else the older format. */
export function formatFor(accept: string | undefined): Format {
  return accept?.includes("application/openmetrics-text") === true ? "openmetrics" : "prometheus";
}

/**
 * The text format of Prometheus as OpenMetrics 1.0, but for the `# EOF`: a family of counters is named without `_total`, and
 * there are no empty lines. prom-client can write it too, but then renames its counters in the other format as well.
 */
export function asOpenMetrics(text: string): string {
  return text
    .replace(/^# HELP (\S+)_total (.*)\n# TYPE \1_total counter$/gm, "# HELP $1 $2\n# TYPE $1 counter")
    .replace(/\n{2,}/g, "\n");
}
