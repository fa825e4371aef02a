import { definitions, type MetricName } from "../../src/telemetry/definitions.ts";

/** Of series about a process. `namespace` is that of the pod, `cluster` what a Prometheus of several adds. */
export const ofProcess = "cluster, namespace, installation";
/** Of series about a MeshCertificate. Without the pod: a new leader reports the same. */
export const ofIdentity = "cluster, installation, namespace, name, mesh";

export const ofMesh = "cluster, installation, mesh";
/** `namespace` is that of the consumer. */
export const ofNamespace = "cluster, installation, namespace";

/** Of each identity, in seconds. */
export const leafLife = `(max by (${ofIdentity}) (attache_leaf_not_after_timestamp_seconds) - max by (${ofIdentity}) (attache_leaf_not_before_timestamp_seconds))`;

/** @param matchersOf those to put before a metric's own, in each selector of `expr`, which is written without them. */
export function withMatchers(expr: string, matchersOf: (metric: string) => string): string {
  return expr.replace(
    /\b((?:attache|process|nodejs)_\w+|ALERTS)\b(?:\{([^}]*)\})?/g,
    (_, metric: string, own?: string) => `${metric}{${[matchersOf(metric), own].filter(Boolean).join(", ")}}`,
  );
}

/** The metric that has such a series; absent for those that are not attaché's own. */
export function metricOf(series: string): MetricName | undefined {
  const name = series.replace(/_(bucket|sum|count)$/, "");
  return [series, name].find((one): one is MetricName => one in definitions);
}

/** The labels of a series by which expressions can select: its own, and those of a target. */
export function labelsOf(series: string): readonly string[] {
  const name = metricOf(series);
  const own: readonly string[] = name === undefined ? [] : definitions[name].labels;
  return [
    ...own,
    "installation",
    "cluster",
    "namespace",
    "pod",
    ...(series.endsWith("_bucket") ? ["le"] : []),
  ];
}
