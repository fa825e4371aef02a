import { hash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fakeCluster } from "../../test/fixtures/fake-cluster.ts";
import { ApiError } from "../kube/api-error.ts";
import type { TextAnswer } from "../kube/client.ts";
import { replicaChecks } from "./replica-checks.ts";
import type { Replica } from "./replicas.ts";

const replica: Replica = {
  namespace: "emissary",
  name: "attache-0",
  isReady: true,
  restarts: 2,
  image: "attache:0.1.0",
  version: "0.1.0",
  serviceAccount: "attache",
  port: 9465,
  settings: { configMap: "attache", key: "attache.yaml" },
};

/** What the doctor finds where a pod answers so. */
async function find(
  answer: Partial<TextAnswer> | ApiError,
  { replicas = [replica], wanted = "meshes: {}\n" } = {},
) {
  const paths: string[] = [];
  const text = ({ path }: { path: string }) => {
    paths.push(path);
    if (answer instanceof ApiError) return Promise.reject(answer);
    return Promise.resolve({ status: 200, text: "readyz passed", aheadMs: 0, ...answer });
  };
  const api = { ...fakeCluster().api(), aheadMs: 0, text };
  const checks = await replicaChecks({ api, replicas, wanted, clockSkewMs: 60_000, version: "0.1.0" });
  return { checks, paths };
}

const inForce = (text: string) => `[!] settings: sha256:${hash("sha256", text)} in force since 2026-01-01`;

describe("the doctor asks each pod, and", () => {
  it("finds one well that is ready, in step, and has the settings of its ConfigMap", async () => {
    const { checks, paths } = await find({
      text: `[+] store: read\n${inForce("meshes: {}\n")}\nreadyz passed`,
    });
    expect(paths).toEqual(["/api/v1/namespaces/emissary/pods/attache-0%3A9465/proxy/readyz"]);
    expect(checks).toEqual([
      { name: "replica emissary/attache-0", status: "ok", message: "is ready, 2 restarts" },
      {
        name: "settings",
        status: "ok",
        message: "attache-0 has those of the ConfigMap emissary/attache in force",
      },
    ]);
  });

  it.each([
    [
      { status: 503, text: "[-] store: not read completely yet\nreadyz failed" },
      "is not ready: store: not read completely yet",
    ],
    [
      { text: "[!] mesh consul: disconnected, ATTACHE_MESH_UNREACHABLE" },
      "disconnected, ATTACHE_MESH_UNREACHABLE",
    ],
    [{ text: "[!] watch of secrets: failing for 35 s, ATTACHE_KUBERNETES_FORBIDDEN" }, "failing for 35 s"],
    [
      { text: "[!] settings: refused at 2026-01-01, ATTACHE_DOCUMENT_INVALID; the old" },
      "refused at 2026-01-01",
    ],
    [{ aheadMs: 300_000 }, "differs from that of the API server by 300 s"],
    [new ApiError("ATTACHE_KUBERNETES_UNAVAILABLE", "dial tcp: refused"), "dial tcp: refused"],
  ])("fails for %j", async (answer, message) => {
    const { checks } = await find(answer);
    const failed = checks.filter(({ status }) => status === "failed");
    expect(failed).toEqual([
      expect.objectContaining({ message: expect.stringContaining(message) as string }),
    ]);
    expect(failed[0]?.remedy).toBeTypeOf("string");
  });

  it("warns of other settings than those of the ConfigMap, and of mixed and other versions", async () => {
    const { checks } = await find(
      { text: inForce("old: true\n") },
      { replicas: [replica, { ...replica, name: "attache-1", image: "attache:0.2.0" }] },
    );
    const warnings = checks.filter(({ status }) => status === "warning").map(({ message }) => message);
    expect(warnings).toEqual([
      "attache-0 has other settings in force than the ConfigMap emissary/attache",
      "attache-1 has other settings in force than the ConfigMap emissary/attache",
      "replicas run attache:0.1.0 and attache:0.2.0",
    ]);
    const other = await find({}, { replicas: [{ ...replica, version: "0.2.0" }] });
    expect(other.checks.at(-1)?.message).toBe("attaché is of version 0.2.0, this doctor of 0.1.0");
  });

  it("says which right it lacks, and goes on", async () => {
    const { checks } = await find(
      new ApiError("ATTACHE_KUBERNETES_FORBIDDEN", "attaché may not get pods/proxy", { remedy: "Grant it." }),
    );
    const [message] = checks.map((check) => check.message);
    expect(checks).toMatchObject([{ status: "warning", remedy: "Grant it." }]);
    expect(message).toBe("not checked: the caller may not get pods/proxy");
  });

  it("asks no pod whose container does not run", async () => {
    const { checks, paths } = await find({}, { replicas: [{ ...replica, waiting: "CrashLoopBackOff" }] });
    expect(paths).toEqual([]);
    expect(checks[0]?.message).toBe("does not run: CrashLoopBackOff, 2 restarts");
  });
});
