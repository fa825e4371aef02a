import { glob, readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { everything, labelsIn, textOf } from "../../test/fixtures/metrics.ts";
import { conditions, identityState, metricsFor, stateWith } from "../../test/fixtures/state.ts";
import type { Status } from "../api/status.ts";
import type { Observer } from "../controller/observer.ts";
import { definitions } from "./definitions.ts";
import { maxIdentitiesWithSeries, type Metrics, unconfigured, worstIdentities } from "./metrics.ts";
import type { IdentityState, State } from "./state.ts";

function metricsOf(changes: Partial<State> = {}): Metrics {
  return metricsFor(stateWith(changes));
}

/** The value of the series with exactly these labels. */
async function valueOf(
  metrics: Metrics,
  name: string,
  labels: Record<string, string> = {},
): Promise<number | undefined> {
  const wanted = Object.entries({ installation: "attache", ...labels })
    .map(([label, value]) => `${label}="${value}"`)
    .toSorted();
  for (const line of (await textOf(metrics)).split("\n")) {
    const [, found, inBraces = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (found === name && (inBraces.match(/\w+="[^"]*"/g) ?? []).toSorted().join() === wanted.join())
      return Number(value);
  }
  return undefined;
}

const { status: goodStatus = { conditions: [] } } = identityState();
const storefront = { namespace: "emissary", name: "storefront", mesh: "consul" };

describe("the ingress", () => {
  it("is shown by the state of its pods and by who is exposed in it, where one is configured", async () => {
    const metrics = metricsOf({
      ingress: { pods: { answering: 2, silent: 0, frozen: 1 }, exposed: 4, leaves: () => [] },
    });
    expect(await valueOf(metrics, "attache_ingress_pods", { state: "answering" })).toBe(2);
    expect(await valueOf(metrics, "attache_ingress_pods", { state: "frozen" })).toBe(1);
    expect(await valueOf(metrics, "attache_clusters_without_client_certificate")).toBe(4);
    const without = await textOf(metricsOf());
    expect(without).not.toMatch(/^attache_ingress_pods\{/m);
    expect(without).not.toMatch(/^attache_clusters_without_client_certificate /m);
  });
});

describe("who is exposed", () => {
  const exposed = (namespace: string, severity: "plaintext" | "anonymous" | "unverified") => ({
    severity,
    consumer: { namespace },
  });
  const count = (metrics: Metrics, namespace: string, severity: string) =>
    valueOf(metrics, "attache_insecure_consumers", { namespace, severity });

  it("is counted by namespace and how badly, and not at all where it cannot be known", async () => {
    const exposures = [
      exposed("shop", "plaintext"),
      exposed("shop", "plaintext"),
      exposed("edge", "unverified"),
    ];
    const metrics = metricsOf({ exposures });
    expect(await count(metrics, "shop", "plaintext")).toBe(2);
    expect(await count(metrics, "shop", "anonymous")).toBe(0);
    expect(await count(metrics, "edge", "unverified")).toBe(1);
    expect(await count(metrics, "(other)", "plaintext")).toBe(0);
    expect(await textOf(metricsOf())).not.toContain("attache_insecure_consumers{");
  });

  it("is counted from 0 on", async () => {
    const metrics = metricsOf({ exposures: [] });
    for (const severity of ["plaintext", "anonymous", "unverified"])
      expect(await count(metrics, "(other)", severity)).toBe(0);
  });

  it("is named in the hundred namespaces that have most, and counted in the others", async () => {
    const exposures = Array.from({ length: 150 }, (_, index) => exposed(`n${index}`, "anonymous"));
    const metrics = metricsOf({ exposures: [...exposures, exposed("n149", "plaintext")] });
    const series = (await textOf(metrics)).match(/^attache_insecure_consumers\{.*$/gm) ?? [];
    expect(series).toHaveLength(3 * 101);
    expect(await count(metrics, "n149", "plaintext")).toBe(1);
    expect(await count(metrics, "(other)", "anonymous")).toBe(50);
  });
});

describe("the leaves in Envoys", () => {
  it("have the end of each cluster that presents one, of a thousand at most, those first that end first", async () => {
    const leaves = Array.from({ length: 1_500 }, (_, index) => ({
      ...{ emissary: "edge/admin", pod: "emissary-0", cluster: `c${index}` },
      notAfter: 5_000 - index,
    }));
    const ingress = { pods: { answering: 1, silent: 0, frozen: 0 }, exposed: 0, leaves: () => leaves };
    const metrics = metricsOf({ ingress });
    const of = (cluster: string) =>
      valueOf(metrics, "attache_served_leaf_not_after_timestamp_seconds", {
        ...{ emissary: "edge/admin", ingress_pod: "emissary-0", envoy_cluster: cluster },
      });
    expect([await of("c1499"), await of("c500"), await of("c499")]).toEqual([3_501, 4_500, undefined]);
  });
});

describe("what happens", () => {
  it("has the reasons that the reconcilers give", async () => {
    const metrics = metricsOf();
    const observer: Observer = metrics;
    observer.published({
      identity: "emissary/storefront",
      mesh: "consul",
      cause: "initial",
      propagationMs: 1,
    });
    expect(await valueOf(metrics, "attache_rotations_total", { mesh: "consul", cause: "initial" })).toBe(1);
  });

  it("is counted from 0 on for each value of each closed label", async () => {
    const metrics = metricsOf();
    for (const [name, labels] of [
      ["rotations_total", { mesh: "consul", cause: "root" }],
      ["publish_duration_seconds_count", { mesh: unconfigured }],
      ["serve_duration_seconds_count", {}],
      ["credential_rejections_total", { mesh: "consul", policy: "not-a-replay" }],
      ["mesh_requests_total", { mesh: "consul", code: "ATTACHE_MESH_TIMEOUT" }],
      ["store_errors_total", { code: "ATTACHE_KUBERNETES_CONFLICT" }],
      ["touches_total", { emissary: "", kind: "TLSContext" }],
      ["leader_changes_total", {}],
      ["reconcile_total", { result: "error" }],
      ["reconcile_duration_seconds_count", {}],
      ["kube_requests_total", { verb: "watch", code: "410" }],
    ] as const)
      expect([name, await valueOf(metrics, `attache_${name}`, labels)]).toEqual([name, 0]);
  });

  it("is counted: work on keys by result, requests to the API server by verb and status, touches by kind", async () => {
    const metrics = metricsOf({ queues: { ingress: { depth: 3, oldestMs: 1_500 } } });
    metrics.reconciled("requeue", 30);
    metrics.kubeRequest("apply", 201);
    metrics.kubeRequest("list", undefined);
    metrics.kubeRequest("get", 418);
    metrics.watchesEmissary("edge/admin");
    metrics.touched("TLSContext");
    metrics.touched("TLSContext", "edge/other");
    metrics.led();
    expect(await valueOf(metrics, "attache_reconcile_total", { result: "requeue" })).toBe(1);
    expect(await valueOf(metrics, "attache_reconcile_duration_seconds_sum")).toBeCloseTo(0.03);
    for (const [verb, code] of [
      ["apply", "201"],
      ["list", "<error>"],
      ["get", "418"],
    ] as const)
      expect(await valueOf(metrics, "attache_kube_requests_total", { verb, code })).toBe(1);
    const touches = (emissary: string) =>
      valueOf(metrics, "attache_touches_total", { emissary, kind: "TLSContext" });
    expect([await touches(""), await touches("edge/admin"), await touches("edge/other")]).toEqual([1, 0, 1]);
    expect(await valueOf(metrics, "attache_leader_changes_total")).toBe(1);
    expect(await valueOf(metrics, "attache_workqueue_oldest_age_seconds", { name: "ingress" })).toBe(1.5);
    expect(await valueOf(metrics, "attache_workqueue_depth", { name: "ingress" })).toBe(3);
  });

  it("is counted: publications by cause, and how long they took", async () => {
    const metrics = metricsOf();
    metrics.published({ mesh: "consul", cause: "leaf", propagationMs: 30 });
    metrics.published({ mesh: "consul", cause: "leaf", propagationMs: 80 });
    expect(await valueOf(metrics, "attache_rotations_total", { mesh: "consul", cause: "leaf" })).toBe(2);
    expect(await valueOf(metrics, "attache_rotations_total", { mesh: "consul", cause: "root" })).toBe(0);
    expect(
      await valueOf(metrics, "attache_publish_duration_seconds_bucket", { mesh: "consul", le: "0.05" }),
    ).toBe(1);
    expect(await valueOf(metrics, "attache_publish_duration_seconds_sum", { mesh: "consul" })).toBeCloseTo(
      0.11,
    );
  });

  it("took no time when the clock was set back meanwhile", async () => {
    const metrics = metricsOf();
    metrics.published({ mesh: "consul", cause: "initial", propagationMs: -5_000 });
    expect(await valueOf(metrics, "attache_publish_duration_seconds_sum", { mesh: "consul" })).toBe(0);
  });

  it("tells objects written from targets that were there already", async () => {
    const metrics = metricsOf();
    for (const writes of [3, 0, 1, 0, 0]) metrics.applied(writes);
    expect(await valueOf(metrics, "attache_store_writes_total")).toBe(4);
    expect(await valueOf(metrics, "attache_store_unchanged_total")).toBe(3);
  });

  it("is counted by policy and code", async () => {
    const metrics = metricsOf();
    metrics.rejected({ mesh: "consul", policy: "key-is-strong" });
    metrics.meshRequest({ mesh: "consul", code: "ATTACHE_MESH_TIMEOUT" });
    metrics.storeError("ATTACHE_STORE_UNWRITABLE");
    expect(
      await valueOf(metrics, "attache_credential_rejections_total", {
        mesh: "consul",
        policy: "key-is-strong",
      }),
    ).toBe(1);
    expect(
      await valueOf(metrics, "attache_mesh_requests_total", { mesh: "consul", code: "ATTACHE_MESH_TIMEOUT" }),
    ).toBe(1);
    expect(await valueOf(metrics, "attache_store_errors_total", { code: "ATTACHE_STORE_UNWRITABLE" })).toBe(
      1,
    );
  });

  it("is neither the mesh's nor the store's failure when it is a bug in attaché", async () => {
    const metrics = metricsOf();
    metrics.meshRequest({ mesh: "consul", code: "ATTACHE_INTERNAL" });
    metrics.storeError("ATTACHE_INTERNAL");
    expect(await valueOf(metrics, "attache_internal_errors_total")).toBe(2);
    expect(await textOf(metrics)).not.toMatch(/^attache_(?:mesh_requests|store_errors)_total\{.* [^0]/m);
  });

  it("is counted: answers of meshes by code, how long the first took, and refused logins", async () => {
    const metrics = metricsOf();
    metrics.meshRequest({ mesh: "consul", code: "OK", ms: 250 });
    metrics.meshRequest({ mesh: "consul", code: "OK" });
    metrics.meshRequest({ mesh: "consul", code: "ATTACHE_MESH_UNAUTHENTICATED" });
    const of = (name: string, labels: object = {}) =>
      valueOf(metrics, `attache_mesh_${name}`, { mesh: "consul", ...labels });
    expect(await of("requests_total", { code: "OK" })).toBe(2);
    expect(await of("request_duration_seconds_count")).toBe(1);
    expect(await of("request_duration_seconds_sum")).toBe(0.25);
    expect(await of("login_failures_total")).toBe(1);
  });

  it("makes no new label, whatever mesh an identity names", async () => {
    const metrics = metricsOf();
    for (const mesh of ["made-up-1", "made-up-2"])
      metrics.meshRequest({ mesh, code: "ATTACHE_MESH_UNKNOWN" });
    expect(
      await valueOf(metrics, "attache_mesh_requests_total", {
        mesh: unconfigured,
        code: "ATTACHE_MESH_UNKNOWN",
      }),
    ).toBe(2);
    expect(await textOf(metrics)).not.toContain("made-up");
  });
});

describe("how things are", () => {
  it("has absolute times of each identity, in seconds, as in its status", async () => {
    const metrics = metricsOf();
    const at = (text: string) => Date.parse(text) / 1_000;
    expect(await valueOf(metrics, "attache_leaf_not_before_timestamp_seconds", storefront)).toBe(
      at("2026-01-01"),
    );
    expect(await valueOf(metrics, "attache_leaf_not_after_timestamp_seconds", storefront)).toBe(
      at("2026-01-04"),
    );
    expect(await valueOf(metrics, "attache_renewal_timestamp_seconds", storefront)).toBe(
      at("2026-01-03T06:00:00Z"),
    );
    expect(await valueOf(metrics, "attache_root_not_after_timestamp_seconds", storefront)).toBe(
      at("2035-01-01"),
    );
  });

  it("has what to join an identity with", async () => {
    const labels = { secret: "storefront-mesh-cert", context: "storefront" };
    const spiffe_id = "spiffe://11.consul/ns/default/dc/dc1/svc/storefront";
    expect(await valueOf(metricsOf(), "attache_identity_info", { ...storefront, ...labels, spiffe_id })).toBe(
      1,
    );
  });

  it("counts active and retiring roots, and has the life of the last active one", async () => {
    const rootNotBefore = (fingerprint: string) => (fingerprint === "a2" ? new Date(7_000) : undefined);
    const metrics = metricsOf({ identities: [identityState("storefront", { rootNotBefore })] });
    const roots = (state: string) => valueOf(metrics, "attache_roots", { ...storefront, state });
    expect([await roots("active"), await roots("retiring")]).toEqual([2, 1]);
    expect(await valueOf(metrics, "attache_root_not_before_timestamp_seconds", storefront)).toBe(7);
  });

  it("has the retention of each mesh, the clock of the API server, and the orphans", async () => {
    const meshes = [{ name: "consul", retainMs: 60_000, connection: undefined }];
    const status = { conditions: conditions({ Ready: "Orphaned" }) };
    const identities = [identityState("gone", { status })];
    const metrics = metricsOf({ meshes, identities, clockAheadMs: -2_000, orphans: 3 });
    expect(await valueOf(metrics, "attache_root_retention_seconds", { mesh: "consul" })).toBe(60);
    expect(await valueOf(metrics, "attache_clock_skew_seconds")).toBe(-2);
    expect(await valueOf(metrics, "attache_orphaned_identities")).toBe(4);
    expect(await textOf(metricsOf())).not.toContain("attache_clock_skew_seconds{");
  });

  it("takes a status of the API as it is", async () => {
    const status: Status = { conditions: [], notAfter: "2026-02-01T00:00:00Z" };
    const metrics = metricsOf({ identities: [identityState("storefront", { status })] });
    expect(await valueOf(metrics, "attache_leaf_not_after_timestamp_seconds", storefront)).toBe(
      1_769_904_000,
    );
    expect(await valueOf(metrics, "attache_leaf_not_before_timestamp_seconds", storefront)).toBeUndefined();
  });

  it("counts the problems with its roots by reason, and has no such series without any", async () => {
    const rootProblems = [{ reason: "Expired" }, { reason: "Unknown" }, { reason: "Expired" }];
    const status = { conditions: [], rootProblems };
    const metrics = metricsOf({ identities: [identityState("storefront", { status })] });
    const count = (reason: string) => valueOf(metrics, "attache_root_problems", { ...storefront, reason });
    expect([await count("Expired"), await count("Unknown"), await count("Ambiguous")]).toEqual([
      2,
      1,
      undefined,
    ]);
  });

  it("has each condition, with 1 and the reason at the status that it has", async () => {
    const status = { conditions: conditions({ SourceReady: "Unreachable" }) };
    const metrics = metricsOf({ identities: [identityState("storefront", { status })] });
    const condition = (type: string, is: string, reason = "") =>
      valueOf(metrics, "attache_identity_condition", { ...storefront, type, status: is, reason });
    expect(await condition("Ready", "True", "Good")).toBe(1);
    expect(await condition("SourceReady", "True")).toBe(0);
    expect(await condition("SourceReady", "False", "Unreachable")).toBe(1);
    expect(await condition("SourceReady", "Unknown")).toBe(0);
  });

  it("counts identities by mesh and readiness, also those not looked at yet and those of no configured mesh", async () => {
    const status = { conditions: conditions({ Ready: "Expired" }) };
    const identities = [
      identityState("good"),
      identityState("bad", { status }),
      identityState("new", { status: undefined }),
      identityState("lost", { mesh: "made-up" }),
    ];
    const metrics = metricsOf({
      identities,
      meshes: [
        { name: "consul", retainMs: 0, connection: undefined },
        { name: "istio", retainMs: 0, connection: undefined },
      ],
    });
    const count = (mesh: string, ready: string) => valueOf(metrics, "attache_identities", { mesh, ready });
    expect([await count("consul", "true"), await count("consul", "false")]).toEqual([1, 2]);
    expect([await count("istio", "true"), await count("istio", "false")]).toEqual([0, 0]);
    expect([await count(unconfigured, "true"), await count(unconfigured, "false")]).toEqual([1, 0]);
  });

  it("has the first end of a leaf of each mesh", async () => {
    const ends = (notAfter: string | undefined) => ({ status: { conditions: [], notAfter } });
    const identities = [
      ends("2026-03-01T00:00:00Z"),
      ends("2026-02-01T00:00:00Z"),
      ends(undefined),
      ends("2026-04-01T00:00:00Z"),
    ].map((status, index) => identityState(`svc-${index}`, status));
    const metrics = metricsOf({ identities });
    expect(
      await valueOf(metrics, "attache_earliest_leaf_not_after_timestamp_seconds", { mesh: "consul" }),
    ).toBe(1_769_904_000);
  });

  it("says whether each mesh is connected, and nothing about one that has not reported", async () => {
    const error = { code: "ATTACHE_MESH_UNREACHABLE" } as const;
    const metrics = metricsOf({
      meshes: [
        { name: "there", retainMs: 0, connection: { connected: true } },
        { name: "away", retainMs: 0, connection: { connected: false, error } },
        { name: "unheard", retainMs: 0, connection: undefined },
      ],
    });
    expect(await valueOf(metrics, "attache_mesh_connected", { mesh: "there" })).toBe(1);
    expect(await valueOf(metrics, "attache_mesh_connected", { mesh: "away" })).toBe(0);
    expect(await valueOf(metrics, "attache_mesh_connected", { mesh: "unheard" })).toBeUndefined();
  });

  it("is read each time: an object that goes takes its series along", async () => {
    const identities: IdentityState[] = [identityState("stays"), identityState("goes")];
    const meshes = [
      { name: "consul", retainMs: 0, connection: { connected: true } } as const,
      { name: "old", retainMs: 0, connection: { connected: true } } as const,
    ];
    const metrics = metricsOf({ identities, meshes });
    expect(await textOf(metrics)).toContain('name="goes"');
    expect(await valueOf(metrics, "attache_mesh_connected", { mesh: "old" })).toBe(1);
    identities.pop();
    meshes.pop();
    expect(await textOf(metrics)).not.toMatch(/name="goes"|^attache_mesh_connected\{mesh="old"/m);
    expect(await textOf(metrics)).toContain('name="stays"');
  });

  it("escapes what labels must not hold", async () => {
    const metrics = metricsOf({ identities: [identityState('a"b\\c\nd')] });
    expect(await textOf(metrics)).toContain('name="a\\"b\\\\c\\nd",mesh="consul",');
  });

  it("has what runs, and the process", async () => {
    const metrics = metricsOf();
    expect(
      await valueOf(metrics, "attache_build_info", { version: "1.2.3", node: process.versions.node }),
    ).toBe(1);
    expect(await valueOf(metrics, "process_resident_memory_bytes")).toBeGreaterThan(0);
    expect(await textOf(metrics)).not.toContain("nodejs_active_");
  });

  it("has the process once, however often metrics are created, as at each reload of the settings", async () => {
    metricsOf();
    const text = await textOf(metricsOf());
    expect(text.match(/^process_resident_memory_bytes\{/gm)).toHaveLength(1);
  });
});

describe("many identities", () => {
  const many = (count: number) =>
    metricsOf({ identities: Array.from({ length: count }, (_, index) => identityState(`svc-${index}`)) });

  it("have series up to a limit, in pieces that leave the event loop to others", async () => {
    const metrics = many(maxIdentitiesWithSeries);
    const others = { turns: 0, go: true };
    const turning = (async () => {
      for (; others.go; others.turns += 1) await setImmediate();
    })();
    let largest = 0;
    let series = 0;
    for await (const piece of metrics.exposition("prometheus")) {
      largest = Math.max(largest, piece.length);
      series += piece.match(/^attache_\w+\{namespace=/gm)?.length ?? 0;
    }
    others.go = false;
    await turning;
    expect(series).toBe(17 * maxIdentitiesWithSeries);
    expect(largest).toBeLessThan(1_000_000);
    expect(others.turns).toBeGreaterThan(20);
  });

  it("above it leave their series to the worst thousand, and are counted all the same", async () => {
    const soon = { ...goodStatus, renewalTime: "2026-01-01T00:00:00.000Z" };
    const identities = [
      ...Array.from({ length: maxIdentitiesWithSeries + 1 }, (_, index) => identityState(`svc-${index}`)),
      identityState("overdue", { status: soon }),
      identityState("rejected", {
        status: { ...goodStatus, conditions: conditions({ SourceReady: "Rejected" }) },
      }),
      identityState("expired", { status: { ...goodStatus, conditions: conditions({ Ready: "Expired" }) } }),
    ];
    const metrics = metricsOf({ identities });
    const shown = [...(await textOf(metrics)).matchAll(/^attache_identity_info\{.*name="([^"]+)"/gm)];
    const names = shown.map(([, name]) => name);
    expect(names).toHaveLength(worstIdentities);
    expect(names.slice(0, 3)).toEqual(["expired", "rejected", "overdue"]);
    const without = identities.length - worstIdentities;
    expect(await valueOf(metrics, "attache_identities_without_series")).toBe(without);
    const ready = await valueOf(metrics, "attache_identities", { mesh: "consul", ready: "true" });
    expect(ready).toBe(identities.length - 1);
    expect(
      await valueOf(metrics, "attache_earliest_leaf_not_after_timestamp_seconds", { mesh: "consul" }),
    ).toBe(1_767_484_800);
  });

  it("are not missed where there are few", async () => {
    expect(await valueOf(metricsOf(), "attache_identities_without_series")).toBe(0);
  });
});

describe("as OpenMetrics", () => {
  it("counters lose their ending in the family's name, and the end is marked", async () => {
    const metrics = metricsOf();
    metrics.applied(2);
    const text = await textOf(metrics, "openmetrics");
    expect(text).toContain(
      '# TYPE attache_store_writes counter\nattache_store_writes_total{installation="attache"} 2\n',
    );
    expect(text).toMatch(/\n# EOF\n$/);
    expect(text).not.toContain("\n\n");
  });

  it("says the same as before when Prometheus' own format is asked for next", async () => {
    const metrics = metricsOf();
    metrics.applied(2);
    await textOf(metrics, "openmetrics");
    expect(await valueOf(metrics, "attache_store_writes_total")).toBe(2);
    expect(await textOf(metrics)).toContain("# TYPE attache_store_writes_total counter");
  });
});

describe("each metric", () => {
  it("is exposed with its type, its help and its labels, and no other is", async () => {
    const text = await textOf(everything());
    const labels = labelsIn(text);
    const exposed = [...text.matchAll(/^# HELP (attache_\w+) (.*)\n# TYPE \S+ (\w+)$/gm)].map(
      ([, name = "", help, type]) => [name, { type, help, labels: [...(labels.get(name) ?? [])].toSorted() }],
    );
    const defined = Object.entries(definitions).map(([name, { type, help, labels: own }]) => [
      name,
      { type, help, labels: [...own, "installation"].toSorted() },
    ]);
    expect(Object.fromEntries(exposed)).toEqual(Object.fromEntries(defined));
  });

  it("has the label of the installation in each of its series, those of the process included", async () => {
    const series = (await textOf(everything())).split("\n").filter((line) => /^\w/.test(line));
    expect(series.filter((line) => !line.includes('installation="attache"'))).toEqual([]);
  });
});

describe("what pages, rules and chart say of metrics", async () => {
  const cwd = new URL("../../", import.meta.url).pathname;
  const files = ["README.md", "docs/**/*.md", "deploy/**/*.{yaml,tpl,md,json}"];
  const labels = labelsIn(await textOf(everything()));
  // Of a bucket, and what a Prometheus of several clusters adds.
  const foreign = new Set(["le", "cluster"]);

  it.each((await Array.fromAsync(glob(files, { cwd }))).toSorted())(
    "exists, each name and each label in %s",
    async (file) => {
      const text = await readFile(`${cwd}${file}`, "utf8");
      const unknown: string[] = [];
      const named = /\b((?:attache|process|nodejs)_\w*[a-z])\b(?:\{([^{}]*)\})?/g;
      for (const [, full = "", inBraces = ""] of text.matchAll(named)) {
        const name = full.replace(/_(?:bucket|sum|count)$/, "");
        if (!labels.has(name)) unknown.push(name);
        for (const [, label = ""] of inBraces.matchAll(/(\w+)\s*(?:!=|=~|!~|=)/g))
          if (!foreign.has(label) && !labels.get(name)?.has(label)) unknown.push(`${name}{${label}}`);
      }
      expect(unknown).toEqual([]);
    },
  );

  it("includes the limit", async () => {
    const page = await readFile(`${cwd}docs/metrics.md`, "utf8");
    expect(page).toContain(`${maxIdentitiesWithSeries.toLocaleString("en")} identities`);
  });
});
