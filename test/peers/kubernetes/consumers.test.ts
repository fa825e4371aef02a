import { describe, expect, it, onTestFinished, vi } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { pathOf, type Resource, resources } from "../../../src/kube/resources.ts";
import { Consumers } from "../../../src/store/kubernetes/consumers.ts";
import { Contexts } from "../../../src/store/kubernetes/contexts.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { cluster } from "./cluster.ts";

describe("who names TLSContexts in a real cluster", () => {
  it("is known for every kind, by context and ambassador_id, as they come and go", async () => {
    const shared = await cluster();
    const namespaces = [await shared.namespace(), await shared.namespace(), await shared.namespace()];
    const [here = "", there = "", elsewhere = ""] = namespaces.toSorted();
    const contexts = new Contexts();
    const consumers = new Consumers({
      api: shared.api(),
      namespaces: [here, there],
      clock: systemClock,
      logger: createLogger("silent"),
      userChanged: (before, after) => contexts.replace(before, after),
    });
    onTestFinished(() => consumers[Symbol.asyncDispose]());
    const reported: (string | undefined)[] = [];
    consumers.onChange((context) => reported.push(context));
    const context = { name: `${here}-context`, ambassadorIds: ["default"] };
    const create = (resource: Resource, namespace: string, name: string, spec: object) =>
      shared.admin.create(pathOf(resource, { namespace }), {
        apiVersion: "getambassador.io/v3alpha1",
        kind: resource.kind,
        metadata: { name },
        spec,
      });
    await vi.waitFor(() => expect(consumers.usesOf(context)).toEqual([]), 30_000);
    expect(reported).toContain(undefined);

    await create(resources.mappings, there, "b", { tls: context.name, service: "web", prefix: "/" });
    await create(resources.mappings, here, "other", { tls: context.name, ambassador_id: ["other"] });
    await create(resources.mappings, here, "without", { service: "web", prefix: "/" });
    await create(resources.mappings, elsewhere, "unseen", { tls: context.name });
    await create(resources.tcpMappings, here, "tcp", { tls: context.name });
    await create(resources.authServices, here, "auth", { tls: context.name });
    await create(resources.rateLimitServices, here, "rate", { tls: context.name });
    await create(resources.hosts, here, "edge", { tlsContext: { name: context.name } });
    await vi.waitFor(() =>
      expect(consumers.usesOf(context)).toEqual([
        { kind: "AuthService", namespace: here, name: "auth" },
        { kind: "Host", namespace: here, name: "edge" },
        { kind: "RateLimitService", namespace: here, name: "rate" },
        { kind: "TCPMapping", namespace: here, name: "tcp" },
        { kind: "Mapping", namespace: there, name: "b" },
      ]),
    );
    expect(contexts.hasHost("edge", ["default"])).toBe(true);
    expect(contexts.hasHost("edge", ["other"])).toBe(false);

    reported.splice(0);
    await shared.admin.delete(pathOf(resources.mappings, { namespace: there, name: "b" }));
    await shared.admin.patch(pathOf(resources.tcpMappings, { namespace: here, name: "tcp" }), {
      spec: { tls: "another" },
    });
    await vi.waitFor(() => expect(consumers.usesOf(context)).toHaveLength(3), 30_000);
    await vi.waitFor(() => expect(new Set(reported)).toEqual(new Set([context.name, "another"])), 30_000);
  });
});
