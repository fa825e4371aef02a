import { describe, expect, it } from "vitest";
import { createMetrics, maxIdentitySeries } from "../telemetry/metrics.ts";
import type { Health } from "./health.ts";
import { startServer } from "./server.ts";

function metricsOf(count: number) {
  return createMetrics({
    version: "1.2.3",
    identities: () =>
      Array.from({ length: count }, (_, index) => ({
        namespace: "emissary",
        name: `svc-${index}`,
        mesh: "consul",
        ready: true,
        notAfter: new Date("2026-01-01T00:00:00Z"),
      })),
  });
}

async function serve(health: Health, count = 1) {
  const metrics = metricsOf(count);
  const server = await startServer({ listen: { host: "127.0.0.1", port: 0 }, metrics, health: () => health });
  const get = (path: string, method = "GET") =>
    fetch(`http://${server.address}:${server.port}${path}`, { method });
  return { server, metrics, get, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

describe("/livez", () => {
  it("answers while the process does", async () => {
    await using served = await serve({ synced: false, concerns: [] });
    expect((await served.get("/livez")).status).toBe(200);
  });
});

describe("/readyz", () => {
  it("is 503 until the store is followed", async () => {
    await using served = await serve({ synced: false, concerns: [] });
    const reply = await served.get("/readyz");
    expect([reply.status, await reply.text()]).toEqual([
      503,
      "not ready: the MeshIdentities have not all been read yet\n",
    ]);
  });

  it("names what is wrong, and is ready all the same: what is published stays good", async () => {
    await using served = await serve({
      synced: true,
      concerns: ["mesh consul: ATTACHE_MESH_UNREACHABLE: refused"],
    });
    const reply = await served.get("/readyz");
    expect(reply.status).toBe(200);
    expect(await reply.text()).toContain("mesh consul: ATTACHE_MESH_UNREACHABLE");
  });

  it("stays short, however much is wrong", async () => {
    await using served = await serve({ synced: true, concerns: Array.from({ length: 1_000 }, () => "bad") });
    const text = await (await served.get("/readyz")).text();
    expect(text.split("\n")).toHaveLength(23);
    expect(text).toContain("and 980 more; see attache status");
  });
});

describe("/metrics", () => {
  it("has absolute times of each identity, and what was counted", async () => {
    await using served = await serve({ synced: true, concerns: [] });
    served.metrics.published({ mesh: "consul", cause: "leaf", propagationMs: 12 });
    served.metrics.rejected({ mesh: "consul", policy: "key-is-strong" });
    served.metrics.meshConnection({ mesh: "consul", connected: true });
    served.metrics.wrote({ writes: 3 });
    const text = await (await served.get("/metrics")).text();
    expect(text).toContain(
      'attache_leaf_not_after_timestamp_seconds{namespace="emissary",name="svc-0",mesh="consul"} 1767225600',
    );
    expect(text).toContain('attache_rotations_total{mesh="consul",cause="leaf"} 1');
    expect(text).toContain('attache_rejected_total{mesh="consul",policy="key-is-strong"} 1');
    expect(text).toContain('attache_mesh_connected{mesh="consul"} 1');
    expect(text).toContain("attache_store_writes_total 3");
    expect(text).toContain('attache_identities{mesh="consul",ready="true"} 1');
    expect(text).toContain('attache_propagation_seconds_bucket{le="0.025",mesh="consul"} 1');
  });

  it("leaves the series of single identities out where they are too many", async () => {
    await using served = await serve({ synced: true, concerns: [] }, maxIdentitySeries + 1);
    const text = await (await served.get("/metrics")).text();
    expect(text).not.toContain("svc-0");
    expect(text).toContain(`attache_identities{mesh="consul",ready="true"} ${maxIdentitySeries + 1}`);
  });
});

describe("the server", () => {
  it("changes nothing, and says what there is", async () => {
    await using served = await serve({ synced: true, concerns: [] });
    expect((await served.get("/metrics", "POST")).status).toBe(404);
    expect(await (await served.get("/")).text()).toContain("/readyz");
  });

  it("says so when its port is taken", async () => {
    await using served = await serve({ synced: true, concerns: [] });
    const { address: host, port } = served.server;
    const second = startServer({
      listen: { host, port },
      metrics: metricsOf(0),
      health: () => ({ synced: true, concerns: [] }),
    });
    await expect(second).rejects.toMatchObject({ code: "ATTACHE_SERVER_LISTEN" });
  });
});
