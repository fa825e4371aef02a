import { describe, expect, it } from "vitest";
import { createAuthority } from "../../../../src/mesh/development/authority.ts";
import { manualClock } from "../../../../test/fixtures/clock.ts";
import { startDevelopmentAgent } from "./agent.ts";

const leafPath = "/v1/agent/connect/ca/leaf/web";
const rootsPath = "/v1/agent/connect/ca/roots";

describe("the development agent", () => {
  it("answers about a leaf in Consul's form", async () => {
    await using world = await setUp();
    const { status, headers, body } = await world.get(leafPath);
    expect(status).toBe(200);
    expect(headers.get("x-consul-index")).toMatch(/^\d+$/);
    expect(headers.get("date")).toBe("Thu, 01 Jan 2026 00:00:00 GMT");
    expect(body).toEqual({
      SerialNumber: expect.stringMatching(/^[0-9a-f]{2}(:[0-9a-f]{2})*$/) as string,
      CertPEM: expect.stringMatching(/^-----BEGIN CERTIFICATE-----\n/) as string,
      PrivateKeyPEM: expect.stringMatching(/^-----BEGIN EC PRIVATE KEY-----\n/) as string,
      Service: "web",
      ServiceURI: "spiffe://11.consul/ns/default/dc/dc1/svc/web",
      ValidAfter: "2025-12-31T23:59:00.000Z",
      ValidBefore: "2026-01-01T01:00:00.000Z",
      CreateIndex: Number(headers.get("x-consul-index")),
      ModifyIndex: Number(headers.get("x-consul-index")),
    });
  });

  it("lists the roots in Consul's form, with null for no intermediates", async () => {
    await using world = await setUp();
    await world.authority.rotateRoot();
    for (const path of [rootsPath, "/v1/connect/ca/roots"]) {
      const { body } = await world.get(path);
      expect(body).toMatchObject({
        TrustDomain: "11.consul",
        Roots: [
          { Active: false, IntermediateCerts: null },
          { Active: true, IntermediateCerts: [expect.stringContaining("BEGIN CERTIFICATE")] },
        ],
      });
      const { ActiveRootID, Roots } = body as { ActiveRootID: string; Roots: { ID: string }[] };
      expect(ActiveRootID).toBe(Roots[1]?.ID);
    }
  });

  it.each([
    ["?index=abc", 400, "Invalid index"],
    ["?index=5&wait=soon", 400, "Invalid wait time"],
    ["?dc=dc9", 500, "No path to datacenter"],
  ])("refuses %s with %i", async (query, status, text) => {
    await using world = await setUp();
    expect(await world.get(`${rootsPath}${query}`)).toMatchObject({ status, body: text });
  });

  it("does not know other paths", async () => {
    await using world = await setUp();
    expect((await world.get("/v1/kv/secret")).status).toBe(404);
  });

  it("keeps leaves for those who have the token, and gives roots to all", async () => {
    await using world = await setUp({ token: "right" });
    expect(await world.get(leafPath)).toMatchObject({
      status: 403,
      body: expect.stringContaining("Permission denied: anonymous token lacks") as string,
    });
    expect(await world.get(leafPath, "wrong")).toMatchObject({ status: 403, body: "ACL not found" });
    expect((await world.get(leafPath, "right")).status).toBe(200);
    expect((await world.get(rootsPath)).status).toBe(200);
  });
});

describe("a blocking query to the development agent", () => {
  it("is held back until the leaf changes", async () => {
    await using world = await setUp();
    const first = await world.get(leafPath);
    const second = world.get(`${leafPath}?index=${first.index}&wait=10m`);
    await world.clock.sleeping(2);
    await world.agent.renew("web");
    expect((await second).index).toBeGreaterThan(first.index);
    expect((await second).body).not.toEqual(first.body);
  });

  it("ends with the same index when its time and a sixteenth of it are over", async () => {
    await using world = await setUp();
    const { index } = await world.get(rootsPath);
    const held = world.get(`${rootsPath}?index=${index}&wait=16s`);
    await world.clock.sleeping(1);
    await world.clock.advance(17_000);
    expect((await held).index).toBe(index);
  });

  it("is held back too for an index that is not yet reached", async () => {
    await using world = await setUp();
    const { index } = await world.get(rootsPath);
    const held = world.get(`${rootsPath}?index=${index + 100}&wait=16s`);
    await world.clock.sleeping(1);
    await world.authority.rotateRoot();
    await world.clock.advance(17_000);
    expect((await held).index).toBeGreaterThan(index);
    expect((await held).index).toBeLessThan(index + 100);
  });
});

describe("a leaf of the development agent", () => {
  it("is renewed between 60 and 90 % of its life", async () => {
    await using world = await setUp();
    const first = await world.get(leafPath);
    // It began a minute before, of 61 minutes: 36.6 and 54.9 minutes after its beginning.
    await world.clock.advance(35 * 60_000);
    expect((await world.get(leafPath)).index).toBe(first.index);
    await world.clock.advance(20 * 60_000);
    await expect.poll(async () => (await world.get(leafPath)).index).toBeGreaterThan(first.index);
  });

  it("is replaced within half a minute after the root has changed, and not when one is dropped", async () => {
    await using world = await setUp();
    const first = await world.get(leafPath);
    const active = await world.authority.rotateRoot();
    expect((await world.get(leafPath)).index).toBe(first.index);
    await world.clock.advance(30_000);
    await expect.poll(async () => (await world.get(leafPath)).index).toBeGreaterThan(first.index);
    const second = await world.get(leafPath);
    const { CertPEM } = second.body as { CertPEM: string };
    expect(CertPEM).toContain(active.intermediates[0]?.toPem());
    const { issued } = world.agent;
    for (const { certificate } of world.authority.roots()) world.authority.dropRoot(certificate.fingerprint);
    await world.clock.advance(30_000);
    expect((await world.get(leafPath)).index).toBe(second.index);
    expect(world.agent.issued).toBe(issued);
  });

  it("is one for each service, with a key of its own", async () => {
    await using world = await setUp();
    const [web, again, api] = await Promise.all([
      world.get(leafPath),
      world.get(leafPath),
      world.get(leafPath.replace("web", "api")),
    ]);
    expect(again.body).toEqual(web.body);
    expect(api.body).not.toMatchObject({
      PrivateKeyPEM: (web.body as { PrivateKeyPEM: string }).PrivateKeyPEM,
    });
    expect(world.agent.issued).toBe(2);
  });
});

describe("a development agent that is stopped", () => {
  it("comes back at the same address, with the same leaves", async () => {
    await using world = await setUp();
    const before = await world.get(leafPath);
    await world.agent.stop();
    await expect(world.get(leafPath)).rejects.toThrow("fetch failed");
    await world.agent.resume();
    expect((await world.get(leafPath)).body).toEqual(before.body);
  });
});

async function setUp(options: { readonly token?: string } = {}) {
  const clock = manualClock();
  const authority = await createAuthority({ trustDomain: "11.consul", clock });
  const agent = await startDevelopmentAgent({ ...options, authority, clock });
  return {
    clock,
    authority,
    agent,
    async get(path: string, token?: string) {
      const headers = token === undefined ? {} : { "x-consul-token": token };
      const response = await fetch(`${agent.settings.address}${path}`, { headers });
      const text = await response.text();
      const isJson = response.headers.get("content-type") === "application/json";
      return {
        status: response.status,
        headers: response.headers,
        index: Number(response.headers.get("x-consul-index")),
        body: isJson ? (JSON.parse(text) as unknown) : text,
      };
    },
    [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
  };
}
