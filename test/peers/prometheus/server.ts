import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { buildPeer } from "../build.ts";
import { startGuarded } from "../guarded.ts";
import { freePorts } from "../ports.ts";

/** The alerts of deploy/prometheus. */
export const rulesPath = join(import.meta.dirname, "../../../deploy/prometheus/alerts.yaml");

/** What Prometheus scrapes, with the labels that it adds to the series. */
export interface Target {
  /** HOST:PORT, or several for replicas. */
  readonly addresses: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** A series at one time. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A series over time, in Unix seconds. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [time: number, value: number])[];
}

/** A real Prometheus with the alerts of attaché, which scrapes and evaluates each second. */
export interface Prometheus extends AsyncDisposable {
  /** @throws Error with what Prometheus says of the expression. */
  query(expr: string): Promise<readonly Sample[]>;
  queryRange(
    expr: string,
    range: { readonly start: number; readonly end: number; readonly step: number },
  ): Promise<readonly Series[]>;
  /** Scrapes these in place of the former ones. */
  retarget(targets: readonly Target[]): Promise<void>;
  /** Alerts that are pending or fire now. */
  alerts(): Promise<readonly Alerting[]>;
}

export interface Alerting {
  readonly labels: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
}

export async function startPrometheus(targets: readonly Target[]): Promise<Prometheus> {
  const program = join(await buildPeer("prometheus"), "prometheus");
  const [port = 0] = await freePorts(1);
  const folder = await mkdtemp(join(tmpdir(), "attache-prometheus-"));
  const configure = (wanted: readonly Target[]) =>
    writeFile(join(folder, "prometheus.yaml"), stringify(configOf(wanted)));
  await configure(targets);
  const guarded = startGuarded(program, [
    `--config.file=${folder}/prometheus.yaml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=127.0.0.1:${port}`,
    "--log.level=warn",
    "--web.enable-lifecycle",
  ]);

  async function api<T>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<T> {
    const body = new URLSearchParams(parameters);
    const isGet = path === "alerts";
    const answer = await fetch(
      `http://127.0.0.1:${port}/api/v1/${path}`,
      isGet ? {} : { method: "POST", body },
    );
    const { data, error } = (await answer.json()) as { readonly data?: T; readonly error?: string };
    if (data === undefined) throw new Error(`${parameters["query"] ?? path}: ${error ?? answer.status}`);
    return data;
  }

  try {
    await guarded.until(async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/-/ready`).catch(() => undefined);
      return answer?.ok === true;
    }, "it was ready");
  } catch (error) {
    await guarded[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
    throw error;
  }
  return {
    async query(query) {
      const { result } = await api<{ readonly result: readonly Found[] }>("query", { query });
      return result.map(({ metric, value: [, value] }) => ({ metric, value: Number(value) }));
    },
    async queryRange(query, { start, end, step }) {
      const range = { start: String(start), end: String(end), step: String(step) };
      const { result } = await api<{ readonly result: readonly FoundRange[] }>("query_range", {
        query,
        ...range,
      });
      return result.map(({ metric, values }) => ({
        metric,
        values: values.map(([time, value]) => [time, Number(value)] as const),
      }));
    },
    async retarget(wanted) {
      await configure(wanted);
      const { ok } = await fetch(`http://127.0.0.1:${port}/-/reload`, { method: "POST" });
      if (!ok) throw new Error(`Prometheus refuses its settings:\n${guarded.output()}`);
    },
    alerts: async () => (await api<{ readonly alerts: readonly Alerting[] }>("alerts")).alerts,
    async [Symbol.asyncDispose]() {
      await guarded[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

function configOf(targets: readonly Target[]): object {
  return {
    global: { scrape_interval: "1s", evaluation_interval: "1s" },
    rule_files: [rulesPath],
    scrape_configs: [
      {
        job_name: "attache",
        honor_labels: true,
        static_configs: targets.map(({ addresses, labels }) => ({ targets: addresses, labels })),
        // What each pod of a cluster has.
        relabel_configs: [{ source_labels: ["__address__"], target_label: "pod" }],
      },
    ],
  };
}

interface Found {
  readonly metric: Sample["metric"];
  readonly value: readonly [time: number, value: string];
}

interface FoundRange {
  readonly metric: Series["metric"];
  readonly values: readonly (readonly [time: number, value: string])[];
}
