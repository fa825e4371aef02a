import { describe, expect, it, vi } from "vitest";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { systemClock } from "../runtime/clock.ts";
import { pathOf, resources } from "../kube/resources.ts";
import { createLogger } from "../telemetry/logger.ts";
import { podsOf, watchPods } from "./pods.ts";

const service = "emissary-ingress-admin";

const endpoint = (name: string, address: string, ready?: boolean, uid?: string) => ({
  addresses: [address],
  conditions: { ready },
  targetRef: { kind: "Pod", name, uid },
});

async function scene() {
  const cluster = fakeCluster();
  const { admin } = cluster;
  const namespace = await cluster.namespace();
  const pods = watchPods({
    api: cluster.api(),
    namespace,
    service,
    clock: systemClock,
    logger: createLogger("silent"),
    onChange: () => undefined,
  });
  const path = (name?: string) => pathOf(resources.endpointSlices, { namespace, name });
  const slice = (name: string, endpoints: unknown, of = service) =>
    admin.create(path(), {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name, labels: { "kubernetes.io/service-name": of } },
      endpoints,
    });
  const names = () => [...pods.all.keys()].toSorted();
  return {
    cluster,
    namespace,
    admin,
    pods,
    path,
    slice,
    names,
    [Symbol.asyncDispose]: () => pods[Symbol.asyncDispose](),
  };
}

describe("the pods of an ingress", () => {
  it("are those in all EndpointSlices of its Service that take traffic", async () => {
    await using run = await scene();
    await run.slice("one", [endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2", false)]);
    await run.slice("two", [endpoint("c", "fd00::3", true)]);
    await run.slice("other", [endpoint("d", "10.0.0.4")], "web");
    await vi.waitFor(() => expect(run.names()).toEqual(["a/10.0.0.1", "c/fd00::3"]));
    await run.admin.patch(run.path("one"), { endpoints: [endpoint("b", "10.0.0.2", true)] });
    await run.admin.delete(run.path("two"));
    await vi.waitFor(() => expect(run.names()).toEqual(["b/10.0.0.2"]));
  });

  it.each([true, false])("count once in a dual-stack Service, by IPv4 (first: %s)", async (isFirst) => {
    await using run = await scene();
    const ipv4 = [endpoint("a", "10.0.0.1", true, "1"), endpoint("b", "10.0.0.2", true, "2")];
    const ipv6 = [endpoint("a", "fd00::1", true, "1"), endpoint("b", "fd00::2", true, "2")];
    await run.slice("one", isFirst ? ipv4 : ipv6);
    await run.slice("two", isFirst ? ipv6 : ipv4);
    await run.slice("three", [endpoint("a", "10.0.0.3", true, "3")]);
    await vi.waitFor(() => expect(run.names()).toEqual(["a/10.0.0.1", "a/10.0.0.3", "b/10.0.0.2"]));
    const pods = await podsOf(run.cluster.api(), run.namespace, service);
    expect(pods).toHaveLength(3);
  });

  it.each([
    undefined,
    null,
    "x",
    [null, {}, { addresses: "x" }, { addresses: [7] }, { addresses: ["elsewhere.example"] }],
  ])("are none in a slice that says %j", async (endpoints) => {
    await using run = await scene();
    await run.slice("one", endpoints);
    await run.slice("two", [{ addresses: ["10.0.0.9"] }]);
    await vi.waitFor(() => expect(run.names()).toEqual(["10.0.0.9/10.0.0.9"]));
  });
});
