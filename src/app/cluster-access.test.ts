import { describe, expect, it } from "vitest";
import { LazyKubeClient } from "./lazy-kube-client.ts";
import { systemClock } from "../runtime/clock.ts";
import { ClusterAccess } from "./cluster-access.ts";
import { createLogger } from "../telemetry/logger.ts";

describe("a cluster that nothing leads to", () => {
  const onDemand = new LazyKubeClient({ env: { HOME: "/nowhere" }, clock: systemClock });
  const cluster = new ClusterAccess({
    api: onDemand.api,
    clock: systemClock,
    logger: createLogger("silent"),
  });
  const { signal } = new AbortController();

  it("gives no token, and says how it could be reached", async () => {
    const request = { serviceAccount: "edge", audiences: [], expirationSeconds: 600, signal };
    await expect(cluster.serviceAccountToken("shop", request)).rejects.toMatchObject({
      code: "ATTACHE_MESH_TOKEN",
      problem: expect.stringContaining("/nowhere/.kube/config") as string,
    });
  });

  it("has no ConfigMap either", async () => {
    const values = cluster.configMap("istio-ca-root-cert", signal)[Symbol.asyncIterator]();
    await expect(values.next()).rejects.toMatchObject({ code: "ATTACHE_MESH_CLUSTER", retryable: true });
  });

  it("is closed as easily as it was opened", async () => {
    await onDemand[Symbol.asyncDispose]();
  });
});
