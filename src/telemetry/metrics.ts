import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";

/** What the metrics say of one identity; times as in its status. */
export interface IdentityState {
  readonly namespace: string;
  readonly name: string;
  readonly mesh: string;
  readonly ready: boolean;
  readonly notBefore?: Date | undefined;
  readonly notAfter?: Date | undefined;
  readonly renewalTime?: Date | undefined;
}

/** The process's metrics: methods for what happens, and the text that Prometheus scrapes. */
export interface Metrics {
  published(rotation: {
    readonly mesh: string;
    readonly cause: string;
    readonly propagationMs: number;
  }): void;
  rejected(rejection: { readonly mesh: string; readonly policy: string }): void;
  wrote(written: { readonly writes: number }): void;
  unchanged(): void;
  meshConnection(state: { readonly mesh: string; readonly connected: boolean }): void;
  meshError(failure: { readonly mesh: string; readonly code: string }): void;
  storeError(failure: { readonly code: string }): void;
  /** In the text format of Prometheus. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Above so many identities the series of each are left out: a scrape must stay small, and `attache status` knows them. */
export const maxIdentitySeries = 5_000;

export interface MetricsOptions {
  readonly version: string;
  /** Asked at each scrape, so that an identity costs nothing in between and vanishes with its series. */
  readonly identities: () => Iterable<IdentityState>;
}

const identityLabels = ["namespace", "name", "mesh"] as const;

export function createMetrics({ version, identities }: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Gauge({ name, help, labelNames, registers });

  collectDefaultMetrics({ register: registry });
  gauge("attache_build_info", "Always 1; the version is in the labels.", ["version", "node"]).set(
    { version, node: process.versions.node },
    1,
  );
  const rotations = counter("attache_rotations_total", "New credentials published.", ["mesh", "cause"]);
  const rejections = counter("attache_rejected_total", "Credentials that failed a policy.", [
    "mesh",
    "policy",
  ]);
  const writes = counter("attache_store_writes_total", "Objects written.", []);
  const noops = counter("attache_store_unchanged_total", "Targets that were found as they should be.", []);
  const storeErrors = counter("attache_store_errors_total", "Failures of the store.", ["code"]);
  const meshErrors = counter("attache_mesh_errors_total", "Failures of meshes, by code.", ["mesh", "code"]);
  const connected = gauge("attache_mesh_connected", "1 while the control plane is there.", ["mesh"]);
  const propagation = new Histogram({
    name: "attache_propagation_seconds",
    help: "From a mesh giving a credential to its being published.",
    labelNames: ["mesh"],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const count = gauge("attache_identities", "MeshIdentities, by whether what is published is good.", [
    "mesh",
    "ready",
  ]);
  const perIdentity = [
    {
      series: gauge(
        "attache_leaf_not_before_timestamp_seconds",
        "When the published leaf began.",
        identityLabels,
      ),
      value: ({ notBefore }: IdentityState) => notBefore,
    },
    {
      series: gauge(
        "attache_leaf_not_after_timestamp_seconds",
        "When the published leaf ends.",
        identityLabels,
      ),
      value: ({ notAfter }: IdentityState) => notAfter,
    },
    {
      series: gauge(
        "attache_renewal_timestamp_seconds",
        "When the mesh is expected to have renewed it.",
        identityLabels,
      ),
      value: ({ renewalTime }: IdentityState) => renewalTime,
    },
  ];

  function collectIdentities(): void {
    const states = [...identities()];
    count.reset();
    for (const { mesh, ready } of states) count.inc({ mesh, ready: String(ready) });
    const shown = states.length > maxIdentitySeries ? [] : states;
    for (const { series, value } of perIdentity) {
      series.reset();
      for (const state of shown) {
        const date = value(state);
        const { namespace, name, mesh } = state;
        if (date !== undefined) series.set({ namespace, name, mesh }, date.getTime() / 1_000);
      }
    }
  }

  return {
    published: ({ mesh, cause, propagationMs }) => {
      rotations.inc({ mesh, cause });
      propagation.observe({ mesh }, propagationMs / 1_000);
    },
    rejected: ({ mesh, policy }) => rejections.inc({ mesh, policy }),
    wrote: (written) => writes.inc(written.writes),
    unchanged: () => noops.inc(),
    meshConnection: (state) => connected.set({ mesh: state.mesh }, state.connected ? 1 : 0),
    meshError: ({ mesh, code }) => meshErrors.inc({ mesh, code }),
    storeError: ({ code }) => storeErrors.inc({ code }),
    text: () => {
      collectIdentities();
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}
