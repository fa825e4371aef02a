import { Gauge, Registry } from "prom-client";
import { countEvents, type Events } from "./event-metrics.ts";
import { asOpenMetrics, type Format } from "./exposition.ts";
import { identitySeries } from "./identity-series.ts";
import { processMetrics } from "./process-metrics.ts";
import { gaugeState } from "./state-metrics.ts";
import type { State } from "./state.ts";

/** What attaché has done, counted as it happens, and how it is, looked at when somebody asks. */
export interface Metrics extends Events {
  /** All metrics as text, in pieces: as a whole it can be megabytes, and few of them need to be there at a time. */
  exposition(format: Format): AsyncIterable<string>;
}

export interface MetricsOptions {
  /** Of attaché. */
  readonly version: string;
  readonly state: State;
}

/** Above so many identities none has series of its own: each has 16 and more, and a scrape is to stay below 10 MB. */
export const maxIdentitiesWithSeries = 5_000;

/** Stands for each mesh that an identity names and nobody has configured. */
export const unconfigured = "(unconfigured)";

export function createMetrics({ version, state }: MetricsOptions): Metrics {
  const registry = new Registry();
  const events = countEvents([registry], labelOf);
  const observe = gaugeState([registry], labelOf);
  new Gauge({
    name: "attache_build_info",
    help: "Always 1; what runs is in the labels.",
    labelNames: ["version", "node"],
    registers: [registry],
  }).set({ version, node: process.versions.node }, 1);

  new Gauge({
    name: "attache_leader",
    help: "1 while this replica works, 0 while it waits for its turn.",
    registers: [registry],
    collect() {
      this.set(state.isLeader ? 1 : 0);
    },
  });

  new Gauge({
    name: "attache_insecure_consumers",
    help: "Mappings and the like that name a TLSContext and are exposed all the same, by how badly; see attache status --mappings.",
    labelNames: ["severity"],
    registers: [registry],
    collect() {
      this.reset();
      if (state.exposures === undefined) return;
      const all = [...state.exposures];
      for (const severity of ["plaintext", "anonymous", "unverified"] as const) {
        this.set({ severity }, all.filter((exposure) => exposure.severity === severity).length);
      }
    },
  });

  new Gauge({
    name: "attache_ingress_pods",
    help: "Pods of the ingress, by whether they answered when last asked, and whether they take configuration at all.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [name, count] of Object.entries(state.ingress?.pods ?? {})) this.set({ state: name }, count);
    },
  });

  new Gauge({
    name: "attache_clusters_without_client_certificate",
    help: "Mappings and the like that name a TLSContext, and whose Envoy presents no client certificate now.",
    registers: [registry],
    collect() {
      this.reset();
      if (state.ingress === undefined) this.remove();
      else this.set(state.ingress.exposed);
    },
  });

  /** Whoever may create MeshCertificates must not be able to make up labels of counters, which stay. */
  function labelOf(mesh: string): string {
    for (const { name } of state.meshes) if (name === mesh) return mesh;
    return unconfigured;
  }

  return {
    ...events,
    async *exposition(format) {
      const identities = [...state.identities];
      const hasSeries = identities.length <= maxIdentitiesWithSeries;
      observe([...state.meshes], identities, hasSeries);
      for (const metrics of [processMetrics(), registry]) {
        const text = await metrics.metrics();
        yield format === "prometheus" ? text : asOpenMetrics(text);
      }
      yield* identitySeries(hasSeries ? identities : []);
      if (format === "openmetrics") yield "# EOF\n";
    },
  };
}
