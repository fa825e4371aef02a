import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { type Alert, alerts } from "../../../deploy/prometheus/alerts.ts";
import type { Metrics } from "../../../src/telemetry/metrics.ts";
import type { ConditionState, IdentityStatus, State } from "../../../src/telemetry/state.ts";
import { conditions, identityState, metricsFor, stateWith } from "../../fixtures/state.ts";
import { only, render } from "../helm/chart.ts";
import { promtool } from "./promtool.ts";
import { podNamespace, scrapeSeconds, seriesOf, type Stretch } from "./timeline.ts";

const rules = join(import.meta.dirname, "../../../deploy/prometheus/alerts.yaml");
const folder = await mkdtemp(join(tmpdir(), "attache-alerts-"));
afterAll(() => rm(folder, { recursive: true }));

/** Seconds since the time at which promtool begins. */
const at = (seconds: number) => new Date(seconds * 1_000).toISOString();
const day = 86_400;

const goodStatus: IdentityStatus = {
  conditions: [
    ...conditions({}),
    { type: "Served", status: "True", reason: "Served" },
    { type: "Protected", status: "True", reason: "Protected" },
  ],
  notBefore: at(-day),
  notAfter: at(2 * day),
  renewalTime: at(day),
  roots: [{ fingerprint: "a1", notAfter: at(3_650 * day), state: "active" }],
};

const idle = { depth: 0, oldestMs: 0 };
const leading: Partial<State> = {
  exposures: [],
  ingress: { pods: { answering: 1, silent: 0, frozen: 0 }, exposed: 0, leaves: () => [] },
  settings: { digest: "00", since: new Date(0) },
  queues: { ingress: idle, reconcile: idle },
};

function attache(
  changes: Partial<State> = {},
  status: Partial<IdentityStatus> = {},
  rootBegan = new Date(0),
): Metrics {
  const rootNotBefore = () => rootBegan;
  const identities = [identityState("storefront", { rootNotBefore, status: { ...goodStatus, ...status } })];
  return metricsFor(stateWith({ ...leading, identities, ...changes }));
}

const standby = () =>
  metricsFor(
    stateWith({
      ...leading,
      ...{ isLeader: false, identities: [], exposures: undefined, ingress: undefined },
      meshes: [{ name: "consul", retainMs: 0, connection: undefined }],
    }),
  );

function counting(count: (metrics: Metrics) => void): Metrics {
  const metrics = attache();
  count(metrics);
  return metrics;
}

/** As a key does that fails and is tried again every half minute. */
function repeating(count: (metrics: Metrics) => void): readonly Metrics[] {
  return Array.from({ length: 44 }, (_, times) =>
    counting((metrics) => {
      for (let done = 0; done < times; done += 1) count(metrics);
    }),
  );
}

function withCondition(type: string, status: ConditionState["status"], reason: string): Metrics {
  const others = goodStatus.conditions.filter((one) => one.type !== type);
  return attache({}, { conditions: [...others, { type, status, reason }] });
}

const ofProcess = { namespace: podNamespace, installation: "attache" };
const ofMesh = { mesh: "consul", installation: "attache" };
const ofNamespace = { namespace: "shop", installation: "attache" };
const ofIdentity = {
  ...{ namespace: "emissary", name: "storefront", mesh: "consul", installation: "attache" },
};

const exposed = (severity: "plaintext" | "unverified") => ({ severity, consumer: { namespace: "shop" } });

interface Case {
  /** What the pod serves then, one after the other; `undefined`: it is gone. */
  readonly metrics: Metrics | readonly Metrics[] | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** As the texts show it. */
  readonly value?: string;
  /** Further alerts that say what follows from it. */
  readonly also?: readonly string[];
}

const cases: Readonly<Record<string, Case>> = {
  AttacheDown: { metrics: undefined, labels: ofProcess },
  AttacheLeaderless: { metrics: standby(), labels: ofProcess, value: "0" },
  AttacheReloadFailed: {
    metrics: attache({
      settings: {
        ...{ digest: "00", since: new Date(0) },
        refused: { at: new Date(0), code: "ATTACHE_DOCUMENT_INVALID" },
      },
    }),
    labels: ofProcess,
  },
  AttacheConsumersExposed: {
    metrics: attache({ exposures: [exposed("plaintext"), exposed("plaintext")] }),
    labels: ofNamespace,
    value: "2",
  },
  AttacheClustersExposed: {
    metrics: attache({
      ingress: { pods: { answering: 1, silent: 0, frozen: 0 }, exposed: 3, leaves: () => [] },
    }),
    labels: ofProcess,
    value: "3",
  },
  AttacheUpstreamsUnverified: {
    metrics: attache({ exposures: [exposed("unverified")] }),
    labels: ofNamespace,
    value: "1",
  },
  AttacheEmissaryFrozen: {
    metrics: attache({
      ingress: { pods: { answering: 1, silent: 0, frozen: 2 }, exposed: 0, leaves: () => [] },
    }),
    labels: ofProcess,
    value: "2",
  },
  AttacheNotServed: { metrics: withCondition("Served", "False", "NotTaken"), labels: ofIdentity },
  AttacheRotationOverdue: {
    metrics: attache({}, { notBefore: at(-2 * day), renewalTime: at(-day / 2), notAfter: at(day) }),
    labels: ofIdentity,
  },
  AttacheLeafEnding: {
    metrics: attache({}, { notBefore: at(-2 * day), renewalTime: at(-day), notAfter: at(day / 12) }),
    labels: ofIdentity,
    also: ["AttacheRotationOverdue"],
  },
  AttacheNotReady: { metrics: withCondition("Ready", "False", "NotPublished"), labels: ofIdentity },
  AttacheNotPublished: { metrics: withCondition("Published", "False", "Forbidden"), labels: ofIdentity },
  AttacheMeshDisconnected: {
    metrics: attache(
      {
        meshes: [
          {
            name: "consul",
            retainMs: 0,
            connection: { connected: false, error: { code: "ATTACHE_MESH_UNREACHABLE" } },
          },
        ],
      },
      { conditions: [...conditions({ SourceReady: "Unreachable" })] },
    ),
    labels: { ...ofProcess, mesh: "consul" },
  },
  AttacheSourceFailing: { metrics: withCondition("SourceReady", "False", "Forbidden"), labels: ofIdentity },
  AttacheCredentialsRejected: {
    metrics: withCondition("SourceReady", "False", "Rejected"),
    labels: ofIdentity,
  },
  AttacheUnknownRoot: {
    metrics: attache({}, { rootProblems: [{ reason: "Unknown" }] }),
    labels: ofIdentity,
  },
  AttacheNameTaken: {
    metrics: withCondition("Protected", "False", "ContextNameTaken"),
    labels: { ...ofIdentity, reason: "ContextNameTaken" },
  },
  AttacheContended: { metrics: withCondition("Published", "False", "Contention"), labels: ofIdentity },
  AttacheOrphaned: { metrics: attache({ orphans: 2 }), labels: ofProcess, value: "2" },
  AttacheRootEnding: {
    metrics: attache(
      {},
      { roots: [{ fingerprint: "a1", notAfter: at(20 * day), state: "active" }] },
      new Date(-300 * day * 1_000),
    ),
    labels: ofMesh,
    value: "1",
  },
  AttacheOverlapTooShort: {
    metrics: attache(
      { meshes: [{ name: "consul", retainMs: 3_600_000, connection: { connected: true } }] },
      {
        roots: [
          { fingerprint: "a1", notAfter: at(3_650 * day), state: "active" },
          { fingerprint: "r1", notAfter: at(3_650 * day), state: "retiring" },
        ],
      },
    ),
    labels: ofMesh,
    value: "1",
  },
  AttacheClockSkew: { metrics: attache({ clockAheadMs: -45_000 }), labels: ofProcess, value: "45" },
  AttacheTerminating: { metrics: withCondition("Terminating", "True", "InUse"), labels: ofIdentity },
  AttacheInternalErrors: {
    metrics: counting((metrics) => metrics.storeError("ATTACHE_INTERNAL")),
    labels: ofProcess,
  },
  AttacheReconcileErrors: {
    metrics: repeating((metrics) => metrics.reconciled("error", 1)),
    labels: ofProcess,
  },
  AttacheKubeRequestsFailing: {
    metrics: repeating((metrics) => metrics.kubeRequest("patch", 403)),
    labels: { ...ofProcess, code: "403" },
  },
  AttacheFallingBehind: {
    metrics: attache({ queues: { reconcile: { depth: 7, oldestMs: 90_000 } } }),
    labels: { ...ofProcess, name: "reconcile" },
  },
};

describe("the alerts", () => {
  it("are rules that Prometheus takes", async () => {
    expect(await promtool(["check", "rules", "--lint-fatal", rules])).toContain("SUCCESS");
  });

  it("are of one installation in the chart", async () => {
    const values = { installation: "east", prometheusRule: { enabled: true } };
    const { spec } = only(await render("attache", "emissary", values), "PrometheusRule");
    const text = stringify(spec);
    const file = join(folder, "chart.yaml");
    await writeFile(file, text);
    expect(await promtool(["check", "rules", "--lint-fatal", file])).toContain(
      `${alerts.length} rules found`,
    );
    const matchers = [...text.matchAll(/\battache_\w+\{(installation[^,}]*)/g)].map(([, matcher]) => matcher);
    expect(new Set(matchers)).toEqual(new Set(['installation="east"']));
  });

  it("each have a case here", () => {
    expect(Object.keys(cases).toSorted()).toEqual(alerts.map(({ name }) => name).toSorted());
  });

  it.each(alerts.map((alert) => [alert.name, alert] as const))(
    "include %s, which fires",
    async (_, alert) => {
      const {
        metrics,
        labels,
        value = "",
        also = [],
      } = cases[alert.name] ?? { metrics: undefined, labels: {} };
      // The scrapes of `for` and a little more; what lies before is good, as increases need.
      const scrapes = secondsOf(alert.for) / scrapeSeconds + 8;
      const pages = [metrics].flat();
      const each = Math.ceil(scrapes / pages.length);
      const stretches = [
        { scrapes: 8, pods: { a: attache() } },
        ...pages.map((page) => ({ scrapes: each, pods: page && { a: page } })),
      ];
      const fired = { labels: { alertname: alert.name, severity: alert.severity, ...labels }, value };
      await expectAlerts(stretches, 8 + each * pages.length - 1, (name) =>
        name === alert.name ? fired : also.includes(name) ? "any" : undefined,
      );
    },
  );
});

describe("no alert fires", () => {
  it("while all is well", async () => {
    await expectSilence([{ scrapes: 240, pods: { a: attache(), b: standby() } }]);
  });

  it("through a restart of the only replica", async () => {
    const starting = metricsFor(stateWith({ ...leading, identities: [], isSynced: false }));
    await expectSilence([
      { scrapes: 20, pods: { a: counting(everyCount) } },
      { scrapes: 3 },
      { scrapes: 1, pods: { b: standby() } },
      { scrapes: 1, pods: { b: starting } },
      { scrapes: 80, pods: { b: attache() } },
    ]);
  });

  it("through an outage of the API server of two minutes", async () => {
    const failing = Array.from({ length: 8 }, (_, scrape) =>
      counting((metrics) => {
        for (let count = 0; count < 50 * scrape; count += 1) {
          metrics.kubeRequest("watch", undefined);
          metrics.reconciled("error", 5);
        }
      }),
    );
    const last = failing.at(-1) ?? attache();
    await expectSilence([
      { scrapes: 20, pods: { a: attache() } },
      ...failing.map((page) => ({ scrapes: 1, pods: { a: page } })),
      { scrapes: 100, pods: { a: last } },
    ]);
  });

  it("through a change of the leader, which ends or only loses its lease", async () => {
    await expectSilence([
      { scrapes: 20, pods: { a: counting(everyCount), b: standby() } },
      { scrapes: 1, pods: { a: standby(), b: standby() } },
      { scrapes: 20, pods: { a: standby(), b: attache() } },
      { scrapes: 2, pods: { a: standby() } },
      { scrapes: 80, pods: { a: attache(), c: standby() } },
    ]);
  });
});

/** What attaché counts in ordinary work. */
function everyCount(metrics: Metrics): void {
  for (let count = 0; count < 100; count += 1) {
    metrics.published({ mesh: "consul", cause: "leaf", propagationMs: 20 });
    metrics.applied(3);
    metrics.reconciled("requeue", 5);
    metrics.kubeRequest("patch", 200);
    metrics.served(900);
  }
  metrics.reconciled("error", 5);
  metrics.kubeRequest("patch", 409);
}

type Expected =
  { readonly labels: Readonly<Record<string, string>>; readonly value: string } | "any" | undefined;

async function expectSilence(stretches: readonly Stretch[]): Promise<void> {
  const scrapes = stretches.reduce((sum, stretch) => sum + stretch.scrapes, 0);
  const times = Array.from({ length: scrapes }, (_, index) => index);
  await evaluate(stretches, times, () => undefined);
}

function expectAlerts(
  stretches: readonly Stretch[],
  scrape: number,
  expected: (name: string) => Expected,
): Promise<void> {
  return evaluate(stretches, [scrape], expected);
}

/** @throws Error with what promtool says of alerts that differ from those expected. */
async function evaluate(
  stretches: readonly Stretch[],
  times: readonly number[],
  expected: (name: string) => Expected,
): Promise<void> {
  const tested = times.flatMap((scrape) =>
    alerts.flatMap((alert) => {
      const fires = expected(alert.name);
      if (fires === "any") return [];
      return {
        eval_time: `${scrape * scrapeSeconds}s`,
        alertname: alert.name,
        exp_alerts: fires === undefined ? [] : [expectation(alert, fires)],
      };
    }),
  );
  const interval = `${scrapeSeconds}s`;
  const file = join(folder, `${crypto.randomUUID()}.yaml`);
  const tests = [{ interval, input_series: await seriesOf(stretches), alert_rule_test: tested }];
  await writeFile(file, stringify({ rule_files: [rules], evaluation_interval: interval, tests }));
  expect(await promtool(["test", "rules", file])).toContain("SUCCESS");
}

function expectation(alert: Alert, { labels, value }: Exclude<Expected, string | undefined>) {
  const text = (template: string) =>
    template
      .replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? "")
      .replaceAll("{{ $value }}", value);
  const { alertname: _, ...own } = labels;
  return {
    exp_labels: own,
    exp_annotations: {
      summary: text(alert.summary),
      description: text(alert.description),
      runbook_url: `docs/runbooks/${alert.name}.md`,
    },
  };
}

function secondsOf(duration: string): number {
  const { groups: { count = "", unit = "" } = {} } = /^(?<count>\d+)(?<unit>[smh])$/.exec(duration) ?? {};
  return Number(count) * ({ s: 1, m: 60, h: 3_600 }[unit] ?? Number.NaN);
}
