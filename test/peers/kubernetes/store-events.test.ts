import { describe, expect, it, vi } from "vitest";
import { MeshError } from "../../../src/mesh/errors.ts";
import { cluster } from "./cluster.ts";
import { type Reconciled, reconcile } from "./reconciled.ts";

interface Event {
  readonly type: string;
  readonly reason: string;
  readonly action: string;
  readonly note: string;
  readonly reportingController: string;
  readonly regarding: { readonly kind: string; readonly name: string; readonly uid: string };
  readonly series?: { readonly count: number };
}

async function events({ cluster: { admin }, namespace }: Reconciled): Promise<Event[]> {
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
  return (await admin.get<{ items: Event[] }>(path)).items;
}

async function until(run: Reconciled, reasons: readonly string[]): Promise<Event[]> {
  return vi.waitFor(
    async () => {
      const all = await events(run);
      expect(all.map(({ reason }) => reason)).toEqual(expect.arrayContaining([...reasons]));
      return all;
    },
    { timeout: 60_000, interval: 50 },
  );
}

describe("what happens to an identity", () => {
  it("stands in Events of it: what is well, what is not, and each rotation", async () => {
    await using run = await reconcile(await cluster());
    await run.put();
    await run.until("Ready", "True/Valid");
    await until(run, ["Valid", "Received", "Published"]);
    await run.mesh.rotate();
    await run.mesh.stop();
    await run.until("SourceReady", "False/Unreachable");
    const all = await until(run, ["Rotated", "Unreachable"]);
    expect(all.find(({ reason }) => reason === "Unreachable")).toMatchObject({
      type: "Warning",
      action: "Obtain",
      reportingController: "attache.dev/attache",
      regarding: { kind: "MeshCertificate", name: "storefront" },
    });
    const { kubectl } = run.cluster;
    expect(await kubectl("-n", run.namespace, "describe", "meshcert", "storefront")).toMatch(
      /Warning +Unreachable/,
    );
  });

  it("is one Event with a count when it happens again and again", async () => {
    await using run = await reconcile(await cluster());
    await run.put();
    await run.until("Ready", "True/Valid");
    for (let outages = 0; outages < 3; outages += 1) {
      await run.mesh.stop();
      await run.until("SourceReady", "False/Unreachable");
      await run.mesh.resume();
      await run.until("SourceReady", "True/Received");
    }
    await vi.waitFor(async () => {
      const unreachable = (await events(run)).filter(({ reason }) => reason === "Unreachable");
      expect(unreachable.map(({ series }) => series?.count)).toEqual([3]);
    }, 60_000);
  });

  it("says what the mesh says, without what looks like a secret", async () => {
    await using run = await reconcile(await cluster());
    await run.mesh.refuse(
      "storefront",
      new MeshError("ATTACHE_MESH_FORBIDDEN", `no service:write ${"long ".repeat(500)}`),
    );
    await run.put();
    await run.until("SourceReady", "False/Forbidden");
    const [event] = (await until(run, ["Forbidden"])).filter(({ reason }) => reason === "Forbidden");
    expect(event?.note).toMatch(/^ATTACHE_MESH_FORBIDDEN: no service:write .*…$/s);
  });

  it("changes nothing where Events cannot be written", async () => {
    await using run = await reconcile(await cluster());
    run.peer.intercept = ({ path }) => {
      if (path.includes("/events.k8s.io/")) throw new Error("the test says no");
    };
    await run.put();
    await run.until("Ready", "True/Valid");
    expect(await events(run)).toEqual([]);
  });
});

describe("a key", () => {
  it("stands in its Secret, and nowhere else in the cluster", async () => {
    await using run = await reconcile(await cluster());
    await run.put();
    await run.until("Ready", "True/Valid");
    await run.mesh.rotate();
    await until(run, ["Rotated"]);
    const { kubectl } = run.cluster;
    const all = await kubectl(
      "-n",
      run.namespace,
      "get",
      "meshcert,tlscontexts,events",
      "-o",
      "json",
      "--show-managed-fields",
    );
    const { "tls.key": key = "" } = (await run.secret("storefront-mesh-cert")) ?? {};
    const text = Buffer.from(key, "base64").toString();
    expect(text).toContain("PRIVATE KEY");
    for (const part of [key, ...text.split("\n").filter((line) => line.length > 20)])
      expect(all).not.toContain(part);
    expect(all).not.toContain("PRIVATE KEY");
  });
});
