import { setImmediate } from "node:timers/promises";
import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { type Counters, createCounters } from "./counters.ts";
import { described, type LabelOf, type NameOf } from "./definitions.ts";
import { identitySeries } from "./identity-series.ts";
import { type IdentityState, isReady, readiness, type State } from "./state.ts";

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

/** With more identities, only the worst have series: each takes 3 KB, and a scrape must stay below 10 MB. */
export const maxIdentitiesWithSeries = 2_500;

/** How many identities have series where there are more than {@link maxIdentitiesWithSeries}. */
export const worstIdentities = 1_000;

/** This many namespaces with insecure consumers are named. */
const maxNamespaces = 100;

/** This many clusters of Envoys have the end of their leaf. */
const maxServedLeaves = 1_000;

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
  gauge("attache_orphaned_identities", () => [[identities.orphans() + state.orphans]]);

  return {
    ...counters,
    async *exposition(format) {
      const all = [...state.identities];
      const shown = all.length <= maxIdentitiesWithSeries ? all : worst(all).slice(0, worstIdentities);
      identities.update(all, all.length - shown.length);
      await setImmediate();
      for (const metrics of [processMetrics(), registry]) {
        metrics.setDefaultLabels({ installation });
        const text = await metrics.metrics();
        yield format === "prometheus" ? text : asOpenMetrics(text);
      }
      yield* identitySeries(shown, installation);
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
    Object.entries(state.queues).map(([name, { depth }]) => [depth, { name }]),
  );
  gauge("attache_workqueue_oldest_age_seconds", () =>
    Object.entries(state.queues).map(([name, { oldestMs }]) => [oldestMs / 1_000, { name }]),
  );
  gauge("attache_clock_skew_seconds", () =>
    state.clockAheadMs === undefined ? [] : [[state.clockAheadMs / 1_000]],
  );
  gauge("attache_root_retention_seconds", () =>
    Array.from(state.meshes, ({ name: mesh, retainMs }) => [retainMs / 1_000, { mesh }]),
  );
}

function gaugeIngress(gauge: DefineGauge, state: State): void {
  gauge("attache_insecure_consumers", () => {
    if (state.exposures === undefined) return [];
    const namespaces = [...Map.groupBy(state.exposures, ({ consumer }) => consumer.namespace)].toSorted(
      ([, one], [, other]) => other.length - one.length,
    );
    const named = namespaces.slice(0, maxNamespaces);
    const rest = namespaces.slice(maxNamespaces).flatMap(([, exposures]) => exposures);
    return [...named, ["(other)", rest] as const].flatMap(([namespace, exposures]) =>
      (["plaintext", "anonymous", "unverified"] as const).map((severity) => {
        const count = exposures.filter((one) => one.severity === severity).length;
        return [count, { namespace, severity }] as const;
      }),
    );
  });
  gauge("attache_served_leaf_not_after_timestamp_seconds", () =>
    [...(state.ingress?.leaves() ?? [])]
      .toSorted((one, other) => one.notAfter - other.notAfter)
      .slice(0, maxServedLeaves)
      .map(({ emissary, pod, cluster, notAfter }) => [
        notAfter,
        { emissary, ingress_pod: pod, envoy_cluster: cluster },
      ]),
  );
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
): { update(identities: readonly IdentityState[], without: number): void; orphans(): number } {
  let summaries = new Map<string, { true: number; false: number; firstEnd: number }>();
  let withoutSeries = 0;
  let orphans = 0;
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
    orphans: () => orphans,
    update(identities, without) {
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
      withoutSeries = without;
      orphans = identities.filter(({ status }) => readiness(status)?.reason === "Orphaned").length;
    },
  };
}

/** Those first that are not ready, then those with another problem, then those whose renewal is due first. */
function worst(identities: readonly IdentityState[]): IdentityState[] {
  const grade = (identity: IdentityState) => {
    if (!isReady(identity)) return 0;
    return identity.status?.conditions.some(({ status }) => status === "False") === true ? 1 : 2;
  };
  return identities
    .map((identity) => ({ identity, grade: grade(identity), due: identity.status?.renewalTime ?? "" }))
    .toSorted((one, other) => one.grade - other.grade || (one.due < other.due ? -1 : 1))
    .map(({ identity }) => identity);
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
