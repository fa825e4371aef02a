import { describe, expect, it, vi } from "vitest";
import { pathOf, type Resource, resources } from "../../../src/kube/resources.ts";
import { targetOf } from "../../conformance/store-target.ts";
import { cluster } from "./cluster.ts";
import { runStore } from "./store-run.ts";

describe("who is exposed in a real cluster", () => {
  it("is reported by an Event on the Mapping, among the identity's uses, and no more once it is protected", async () => {
    const shared = await cluster();
    await using run = await runStore(shared, { uses: undefined });
    const { namespace, store } = run;
    const context = `${namespace}-web`;
    const create = (resource: Resource, name: string, spec: object) =>
      shared.admin.create(pathOf(resource, { namespace }), {
        apiVersion: "getambassador.io/v3alpha1",
        kind: resource.kind,
        metadata: { name },
        spec: { prefix: "/", service: "web", ...spec },
      });
    const identity = await run.put("web", { target: { tlsContext: { name: context } } });
    await create(resources.mappings, "soon", { tls: context });
    await create(resources.mappings, "elsewhere", { tls: context, ambassador_id: ["other"] });
    await create(resources.mappings, "astray", { tls: `${namespace}-typo`, service: "https://web" });
    const exposed = () =>
      store.exposures
        .map(({ consumer, severity, reason }) => `${consumer.name} ${severity} ${reason}`)
        .toSorted();
    await vi.waitFor(
      () =>
        expect(exposed()).toEqual([
          "astray anonymous ContextMissing",
          "elsewhere plaintext ContextNotPublished",
          "soon plaintext ContextNotPublished",
        ]),
      { timeout: 60_000 },
    );

    await store.apply(identity, targetOf(identity, "1", run.peer.installation));
    await vi.waitFor(
      () =>
        expect(exposed()).toEqual([
          "astray anonymous ContextMissing",
          "elsewhere plaintext ContextOfOtherAmbassadorId",
        ]),
      { timeout: 60_000 },
    );
    expect(store.usesOf(identity)).toEqual([
      { kind: "Mapping", namespace, name: "soon" },
      { kind: "Mapping", namespace, name: "elsewhere", exposure: "plaintext" },
    ]);

    await vi.waitFor(async () => {
      const { items } = await shared.admin.get<{ items: { regarding: { name: string }; reason: string }[] }>(
        pathOf(resources.events, { namespace }),
      );
      const said = items.map(({ regarding, reason }) => `${regarding.name} ${reason}`);
      expect(said).toEqual(
        expect.arrayContaining(["astray ContextMissing", "elsewhere ContextOfOtherAmbassadorId"]),
      );
    }, 30_000);
  });

  it("is reported by one Event, however many installations see it", async () => {
    const shared = await cluster();
    await using run = await runStore(shared, { uses: undefined });
    const { namespace } = run;
    await shared.admin.create(pathOf(resources.mappings, { namespace }), {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      metadata: { name: "astray" },
      spec: { hostname: "*", prefix: "/", service: "web", tls: `${namespace}-typo` },
    });
    const counts = async () => {
      const path = pathOf(resources.events, { namespace });
      const { items } = await shared.admin.get<{ items: { series?: { count: number } }[] }>(path);
      return items.map(({ series }) => series?.count ?? 1);
    };
    await vi.waitFor(async () => expect(await counts()).toEqual([1]), 30_000);
    await run.restart({ installation: "another" });
    await vi.waitFor(async () => expect(await counts()).toEqual([2]), 30_000);
  });
});
