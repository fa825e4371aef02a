import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { type Counters, createCounters } from "./counters.ts";
import { described, type LabelOf, type NameOf } from "./definitions.ts";
import { identitySeries } from "./identity-series.ts";
import { type IdentityState, isReady, type State } from "./state.ts";

/** Counts events as they happen, and reads the state at each scrape. */
export interface Metrics extends Counters {
  /** All metrics as text, in pieces: together they can be megabytes. */
  exposition(format: ExpositionFormat): AsyncIterable<string>;
}

interface MetricsOptions {
  /** Of attaché. */
  readonly version: string;
  /** The names of the configured meshes. */
  readonly meshes: readonly string[];
  /** The names of the policies. */
  readonly policies: readonly string[];
  /** A label of every series: several installations may share a Prometheus, and a cluster. */
  readonly installation: string;
  readonly state: State;
}

/** With more identities, none has its own series: each has 16 or more, and a scrape must stay below 10 MB. */
export const maxIdentitiesWithSeries = 5_000;

/** The label of all meshes that identities name and the settings do not. */
export const unconfigured = "(unconfigured)";

export function createMetrics({ version, meshes, policies, installation, state }: MetricsOptions): Metrics {
  const registry = new Registry();
  const configured = new Set(meshes);
  const labelOf = (mesh: string) => (configured.has(mesh) ? mesh : unconfigured);
  const counters = createCounters({
    registers: [registry],
    meshes: [...configured, unconfigured],
    policies,
    labelOf,
  });
  const gauge: DefineGauge = (name, samples) => {
    const { labelNames, ...named } = described(name);
    new Gauge({
      ...{ ...named, labelNames, registers: [registry] },
      collect() {
        this.reset();
        if (labelNames.length === 0) this.remove();
        for (const [value, labels] of samples()) this.set(labels ?? {}, value);
      },
    });
  };
  gaugeProcess(gauge, version, state);
  gaugeIngress(gauge, state);
  const identities = gaugeIdentities(gauge, [...configured], labelOf);

  return {
    ...counters,
    async *exposition(format) {
      const all = [...state.identities];
      const hasSeries = all.length <= maxIdentitiesWithSeries;
      identities.update(all, hasSeries);
      for (const metrics of [processMetrics(), registry]) {
        metrics.setDefaultLabels({ installation });
        const text = await metrics.metrics();
        yield format === "prometheus" ? text : asOpenMetrics(text);
      }
      yield* identitySeries(hasSeries ? all : [], installation);
      if (format === "openmetrics") yield "# EOF\n";
    },
  };
}

/** @param samples are taken at each scrape; a series that they lack ends */
type DefineGauge = <N extends NameOf<"gauge">>(
  name: N,
  samples: () => Iterable<readonly [value: number, labels?: Readonly<Record<LabelOf<N>, string>>]>,
) => void;

function gaugeProcess(gauge: DefineGauge, version: string, state: State): void {
  gauge("attache_build_info", () => [[1, { version, node: process.versions.node }]]);
  gauge("attache_leader", () => [[state.isLeader ? 1 : 0]]);
  gauge("attache_settings_last_reload_successful", () =>
    state.settings === undefined ? [] : [[state.settings.refused === undefined ? 1 : 0]],
  );
  gauge("attache_settings_last_reload_success_timestamp_seconds", () =>
    state.settings === undefined ? [] : [[state.settings.since.getTime() / 1_000]],
  );
  gauge("attache_mesh_connected", () =>
    [...state.meshes].flatMap(({ name: mesh, connection }) =>
      connection === undefined ? [] : [[connection.connected ? 1 : 0, { mesh }]],
    ),
  );
  gauge("attache_workqueue_depth", () =>
    Object.entries(state.queues).map(([name, depth]) => [depth, { name }]),
  );
}

function gaugeIngress(gauge: DefineGauge, state: State): void {
  gauge("attache_insecure_consumers", () => {
    if (state.exposures === undefined) return [];
    const counts = { plaintext: 0, anonymous: 0, unverified: 0 };
    for (const { severity } of state.exposures) counts[severity] += 1;
    return Object.entries(counts).map(([severity, count]) => [count, { severity }]);
  });
  gauge("attache_clusters_without_client_certificate", () =>
    state.ingress === undefined ? [] : [[state.ingress.exposed]],
  );
  gauge("attache_ingress_pods", () =>
    Object.entries(state.ingress?.pods ?? {}).map(([name, count]) => [count, { state: name }]),
  );
}

/** Reasons of the condition `Protected`. */
const nameConflictReasons = ["ContextNameTaken", "SecretNameTaken", "SecretNamedFromOutside"];

/** Also counts the identities that have no series of their own. */
function gaugeIdentities(
  gauge: DefineGauge,
  meshes: readonly string[],
  labelOf: (mesh: string) => string,
): { update(identities: readonly IdentityState[], hasSeries: boolean): void } {
  let summaries = new Map<string, { true: number; false: number; firstEnd: number }>();
  let withoutSeries = 0;
  let conflicts = new Map<string, number>();
  gauge("attache_identities", () =>
    [...summaries].flatMap(([mesh, counts]) =>
      (["true", "false"] as const).map((ready) => [counts[ready], { mesh, ready }] as const),
    ),
  );
  gauge("attache_earliest_leaf_not_after_timestamp_seconds", () =>
    [...summaries].flatMap(([mesh, { firstEnd }]) =>
      firstEnd === Infinity ? [] : [[firstEnd / 1_000, { mesh }]],
    ),
  );
  gauge("attache_name_conflicts", () => Array.from(conflicts, ([reason, count]) => [count, { reason }]));
  gauge("attache_identities_without_series", () => [[withoutSeries]]);
  return {
    update(identities, hasSeries) {
      summaries = new Map(meshes.map((mesh) => [mesh, { true: 0, false: 0, firstEnd: Infinity }]));
      conflicts = new Map(nameConflictReasons.map((reason) => [reason, 0]));
      for (const identity of identities) {
        const mesh = labelOf(identity.mesh);
        const summary = summaries.get(mesh) ?? { true: 0, false: 0, firstEnd: Infinity };
        summary[`${isReady(identity)}`] += 1;
        const end = Date.parse(identity.status?.notAfter ?? "");
        if (end < summary.firstEnd) summary.firstEnd = end;
        summaries.set(mesh, summary);
        const { reason = "" } = identity.status?.conditions.find(({ type }) => type === "Protected") ?? {};
        const count = conflicts.get(reason);
        if (count !== undefined) conflicts.set(reason, count + 1);
      }
      withoutSeries = hasSeries ? 0 : identities.length;
    },
  };
}

let processRegistry: Registry | undefined;

/**
 * Memory, CPU, garbage collection and event loop delay, as prom-client names them. One for the process: it
 * cannot be stopped.
 */
function processMetrics(): Registry {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
    for (const name of costly) processRegistry.removeSingleMetric(name);
  }
  return processRegistry;
}

/** They list every timer and socket at each scrape, and each waiting identity has one. */
const costly = ["handles", "requests", "resources"].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
]);

/** The formats of Prometheus, with their media types. */
export const contentTypes = {
  prometheus: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
} as const;

export type ExpositionFormat = keyof typeof contentTypes;

/** OpenMetrics where `Accept` names it, as that of Prometheus does since 2.5; else the older format. */
export function formatFor(accept: string | undefined): ExpositionFormat {
  return accept?.includes("application/openmetrics-text") === true ? "openmetrics" : "prometheus";
}

/**
 * Turns the text format of Prometheus into OpenMetrics 1.0, but for the `# EOF`: it names a family of
 * counters without `_total` and has no empty lines. prom-client's own conversion would rename the counters of
 * the other format as well.
 */
export function asOpenMetrics(text: string): string {
  return text
    .replace(/^# HELP (\S+)_total (.*)\n# TYPE \1_total counter$/gm, "# HELP $1 $2\n# TYPE $1 counter")
    .replace(/\n{2,}/g, "\n");
}
