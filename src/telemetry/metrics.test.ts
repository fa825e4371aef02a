import { glob, readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { everything, labelsIn, textOf } from "../../test/fixtures/metrics.ts";
import { conditions, identityState, metricsFor, stateWith } from "../../test/fixtures/state.ts";
import type { Status } from "../api/status.ts";
import type { Observer } from "../controller/observer.ts";
import { definitions } from "./definitions.ts";
import { maxIdentitiesWithSeries, type Metrics, unconfigured } from "./metrics.ts";
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

const storefront = { namespace: "emissary", name: "storefront", mesh: "consul" };

describe("the ingress", () => {
  it("is shown by the state of its pods and by who is exposed in it, where one is configured", async () => {
    const metrics = metricsOf({ ingress: { pods: { answering: 2, silent: 0, frozen: 1 }, exposed: 4 } });
    expect(await valueOf(metrics, "attache_ingress_pods", { state: "answering" })).toBe(2);
    expect(await valueOf(metrics, "attache_ingress_pods", { state: "frozen" })).toBe(1);
    expect(await valueOf(metrics, "attache_clusters_without_client_certificate")).toBe(4);
    const without = await textOf(metricsOf());
    expect(without).not.toMatch(/^attache_ingress_pods\{/m);
    expect(without).not.toMatch(/^attache_clusters_without_client_certificate /m);
  });
});

describe("who is exposed", () => {
  it("is counted by how badly, and not at all where it cannot be known", async () => {
    const severities = ["plaintext", "plaintext", "unverified"] as const;
    const metrics = metricsOf({ exposures: severities.map((severity) => ({ severity })) });
    expect(await valueOf(metrics, "attache_insecure_consumers", { severity: "plaintext" })).toBe(2);
    expect(await valueOf(metrics, "attache_insecure_consumers", { severity: "anonymous" })).toBe(0);
    expect(await valueOf(metrics, "attache_insecure_consumers", { severity: "unverified" })).toBe(1);
    expect(await textOf(metricsOf())).not.toContain("attache_insecure_consumers{");
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
      ["mesh_errors_total", { mesh: "consul", code: "ATTACHE_MESH_TIMEOUT" }],
      ["store_errors_total", { code: "ATTACHE_KUBERNETES_CONFLICT" }],
      ["touches_total", { kind: "TLSContext" }],
      ["reconcile_total", { result: "error" }],
      ["reconcile_duration_seconds_count", {}],
      ["kube_requests_total", { verb: "watch", code: "410" }],
    ] as const)
      expect([name, await valueOf(metrics, `attache_${name}`, labels)]).toEqual([name, 0]);
  });

  it("is counted: work on keys by result, requests to the API server by verb and status, touches by kind", async () => {
    const metrics = metricsOf({ queues: { ingress: 3 } });
    metrics.reconciled("requeue", 30);
    metrics.kubeRequest("apply", 201);
    metrics.kubeRequest("list", undefined);
    metrics.kubeRequest("get", 418);
    metrics.touched("TLSContext");
    expect(await valueOf(metrics, "attache_reconcile_total", { result: "requeue" })).toBe(1);
    expect(await valueOf(metrics, "attache_reconcile_duration_seconds_sum")).toBeCloseTo(0.03);
    for (const [verb, code] of [
      ["apply", "201"],
      ["list", "<error>"],
      ["get", "418"],
    ] as const)
      expect(await valueOf(metrics, "attache_kube_requests_total", { verb, code })).toBe(1);
    expect(await valueOf(metrics, "attache_touches_total", { kind: "TLSContext" })).toBe(1);
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
    metrics.meshError({ mesh: "consul", code: "ATTACHE_MESH_TIMEOUT" });
    metrics.storeError("ATTACHE_STORE_UNWRITABLE");
    expect(
      await valueOf(metrics, "attache_credential_rejections_total", {
        mesh: "consul",
        policy: "key-is-strong",
      }),
    ).toBe(1);
    expect(
      await valueOf(metrics, "attache_mesh_errors_total", { mesh: "consul", code: "ATTACHE_MESH_TIMEOUT" }),
    ).toBe(1);
    expect(await valueOf(metrics, "attache_store_errors_total", { code: "ATTACHE_STORE_UNWRITABLE" })).toBe(
      1,
    );
  });

  it("is neither the mesh's nor the store's failure when it is a bug in attaché", async () => {
    const metrics = metricsOf();
    metrics.meshError({ mesh: "consul", code: "ATTACHE_INTERNAL" });
    metrics.storeError("ATTACHE_INTERNAL");
    expect(await valueOf(metrics, "attache_internal_errors_total")).toBe(2);
    expect(await textOf(metrics)).not.toMatch(/^attache_(?:mesh|store)_errors_total\{.* [^0]/m);
  });

  it("makes no new label, whatever mesh an identity names", async () => {
    const metrics = metricsOf();
    for (const mesh of ["made-up-1", "made-up-2"]) metrics.meshError({ mesh, code: "ATTACHE_MESH_UNKNOWN" });
    expect(
      await valueOf(metrics, "attache_mesh_errors_total", {
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
        { name: "consul", connection: undefined },
        { name: "istio", connection: undefined },
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
        { name: "there", connection: { connected: true } },
        { name: "away", connection: { connected: false, error } },
        { name: "unheard", connection: undefined },
      ],
    });
    expect(await valueOf(metrics, "attache_mesh_connected", { mesh: "there" })).toBe(1);
    expect(await valueOf(metrics, "attache_mesh_connected", { mesh: "away" })).toBe(0);
    expect(await valueOf(metrics, "attache_mesh_connected", { mesh: "unheard" })).toBeUndefined();
  });

  it("is read each time: an object that goes takes its series along", async () => {
    const identities: IdentityState[] = [identityState("stays"), identityState("goes")];
    const meshes = [
      { name: "consul", connection: { connected: true } } as const,
      { name: "old", connection: { connected: true } } as const,
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
    expect(series).toBe(13 * maxIdentitiesWithSeries);
    expect(largest).toBeLessThan(1_000_000);
    expect(others.turns).toBeGreaterThan(20);
  });

  it("are only counted above it, and a gauge says so", async () => {
    const metrics = many(maxIdentitiesWithSeries + 1);
    expect(await valueOf(metrics, "attache_identities_without_series")).toBe(maxIdentitiesWithSeries + 1);
    expect(await valueOf(metrics, "attache_identities", { mesh: "consul", ready: "true" })).toBe(
      maxIdentitiesWithSeries + 1,
    );
    expect(
      await valueOf(metrics, "attache_earliest_leaf_not_after_timestamp_seconds", { mesh: "consul" }),
    ).toBe(1_767_484_800);
    expect(await textOf(metrics)).not.toContain("svc-");
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
          if (label !== "le" && !labels.get(name)?.has(label)) unknown.push(`${name}{${label}}`);
      }
      expect(unknown).toEqual([]);
    },
  );

  it("includes the limit", async () => {
    const page = await readFile(`${cwd}docs/metrics.md`, "utf8");
    expect(page).toContain(`${maxIdentitiesWithSeries.toLocaleString("en")} identities`);
  });
});
