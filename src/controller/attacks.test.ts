import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { fakeUri } from "../../test/fixtures/fake-mesh.ts";
import { identity } from "../../test/fixtures/identity.ts";
import { type Reconciliation, startReconciliation } from "../../test/fixtures/reconciliation.ts";
import { type MeshCertificate, meshCertificate } from "../api/mesh-certificate.ts";
import { allowBy } from "./allow.ts";

/**
 * What a user tries who may create MeshCertificates in the namespace `shop`, and nothing else. The adapter
 * is one that leaves every check of the service's name to us.
 */
function attack(service: string, tlsContext: string): MeshCertificate {
  const spec = {
    consul: undefined,
    mesh: "consul",
    plugin: { service },
    target: { tlsContext: { name: tlsContext } },
  };
  const { metadata, ...rest } = identity("thief", spec);
  return { ...rest, metadata: { ...metadata, namespace: "shop", uid: "uid-of-shop/thief" } };
}

const allow = allowBy([
  {
    namespaces: ["emissary"],
    mesh: "consul",
    spiffeIds: [fakeUri("storefront")],
    tlsContexts: ["storefront"],
  },
  { namespaces: ["shop"], mesh: "consul", spiffeIds: [fakeUri("shop-*")], tlsContexts: ["shop-*"] },
]);

let run: Reconciliation;
let published: string;

beforeEach(async () => {
  run = await startReconciliation({ allow });
  run.store.put(identity());
  await run.until("Ready", "True/Valid");
  published = JSON.stringify([...run.store.objects]);
});

/** Whatever was tried: what the victim has is as it was, no other identity got a leaf, and no key can be read. */
afterEach(async () => {
  expect(JSON.stringify([...run.store.objects].filter(([id]) => id.startsWith("emissary/")))).toBe(published);
  expect(run.mesh.issued).toBe(1);
  const printed = [...run.logged, JSON.stringify([...run.store.statuses.values()])].join("\n");
  expect(printed).not.toMatch(/PRIVATE KEY|MIGHAgEA/);
  await run[Symbol.asyncDispose]();
});

function reason(): string | undefined {
  const conditions = run.store.statuses.get("shop/thief")?.conditions;
  return conditions?.find(({ type }) => type === "SourceReady")?.reason;
}

describe("a user who may create MeshCertificates in one namespace", () => {
  it.each([
    ["another's identity", "storefront", "shop-x"],
    ["whatever matches", "*", "shop-x"],
    ["more than is granted", "sho*", "shop-x"],
    ["his own identity under another's context", "shop-x", "storefront"],
  ])("does not get %s, and the mesh is not asked", async (_, service, tlsContext) => {
    run.store.put(attack(service, tlsContext));
    await vi.waitFor(() => expect(reason()).toBe("NotAllowed"));
    expect(run.store.objects.size).toBe(3);
  });

  it.each(["a b", "../storefront", "a/../storefront", "/", 'x"}]', "x\ny", "é", "x".repeat(5_000)])(
    "does not end attaché with the service %.20j",
    async (service) => {
      run.store.put(attack(service, "shop-x"));
      await vi.waitFor(() => expect(["NotAllowed", "CredentialMalformed"]).toContain(reason()));
      expect(run.controller.isRunning).toBe(true);
    },
  );

  it.each(["emissary/storefront-mesh-cert", "../emissary/storefront-mesh-cert", "Storefront", "a\nb", ""])(
    "cannot name the Secret %j",
    (secret) => {
      const { spec, ...rest } = identity();
      expect(meshCertificate.safeParse({ ...rest, spec: { ...spec, target: { secret } } }).success).toBe(
        false,
      );
    },
  );
});

describe("what was allowed once", () => {
  it("stays published and is not renewed when the spec asks for more", async () => {
    run.store.put(identity("storefront", { consul: { service: "billing" } }));
    await run.until("SourceReady", "False/NotAllowed");
    await run.until("Ready", "True/Valid");
    const { key, chain } = await run.mesh.authority.issue({ uri: fakeUri("storefront") });
    const bundle = run.mesh.authority.roots().map(({ certificate }) => certificate);
    run.mesh.emit("storefront", { key, chain, bundle });
    run.store.drift("emissary/storefront");
    await run.until("SourceReady", "False/NotAllowed");
  });
});
