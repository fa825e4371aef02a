import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished, vi } from "vitest";
import { conditionOf, type Status } from "../../../src/api/status.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createNamespace, deleteNamespace, describeOnNode, rolledOut } from "./cluster.ts";
import { copyAuthority, startConsul, stopConsul } from "./consul.ts";
import { isReady, releaseIn } from "./release.ts";

const namespace = "emissary";

describeOnNode("the life of attaché on a real node", (node) => {
  const { api, kubectl } = node;
  const release = releaseIn(node, namespace);

  beforeAll(async () => {
    await createNamespace(node, namespace);
    await startConsul(node);
    await copyAuthority(node, namespace);
    await release.helm("install", "consul", "--wait", "--timeout=150s");
  });
  beforeEach(async () => {
    await release.rolledOut();
    await release.until("edge", isReady);
    await release.leader();
  });
  afterAll(async () => {
    await release.remove();
    await stopConsul(node);
  });

  /** Waits until another pod leads than this one. */
  const successor = (of: string) =>
    vi.waitFor(async () => {
      const pod = await release.leader();
      expect(pod).not.toBe(of);
      return pod;
    });

  it("goes on with the other replica when the leader's pod is deleted, which gives its lease back", async () => {
    const leader = await release.leader();
    const before = await release.lease();
    await kubectl("delete", "pod", leader, "-n", namespace, "--wait=false");
    await successor(leader);
    const { leaseTransitions = 0 } = await release.lease();
    expect(leaseTransitions).toBe((before.leaseTransitions ?? 0) + 1);
  });

  it("goes on with the other replica when the leader's process is killed, whose pod starts it again", async () => {
    const leader = await release.leader();
    const { metadata } = await release.pod(leader);
    await node.run("bash", "-c", killed, "bash", metadata.uid);
    await vi.waitFor(async () => {
      const { status } = await release.pod(leader);
      expect(status.containerStatuses).toMatchObject([{ restartCount: 1, ready: true }]);
    });
    await renewed();
  });

  it("hands its lease over once when a rollout replaces its pods", async () => {
    const before = await release.pods();
    const { leaseTransitions = 0 } = await release.lease();
    await kubectl("rollout", "restart", "deployment/attache", "-n", namespace);
    await release.rolledOut();
    const old = new Set(before.map(({ metadata }) => metadata.uid));
    await vi.waitFor(async () => {
      const pods = await release.pods();
      expect(pods.filter(({ metadata }) => old.has(metadata.uid))).toEqual([]);
    });
    await renewed();
    const after = await release.lease();
    expect(after.leaseTransitions).toBe(leaseTransitions + 1);
  });

  it("keeps one replica through a drain of the only node", async () => {
    const selector = "--pod-selector=app.kubernetes.io/instance=attache";
    const drain = kubectl("drain", "attache-node", selector, "--delete-emptydir-data", "--timeout=20s");
    await expect(drain).rejects.toThrow("disruption budget");
    const left = await release.pods();
    expect(left.filter(({ status }) => status.phase === "Running")).toHaveLength(1);
    await renewed();
    await kubectl("uncordon", "attache-node");
    await release.rolledOut();
  });

  it("takes in what an upgrade changes without a restart of its pods", async () => {
    const before = await release.pods();
    await release.helm(
      "upgrade",
      "consul",
      "--set-json",
      `identities=${JSON.stringify(identities)}`,
      "--timeout=150s",
    );
    await release.until("other", isReady);
    const uids = (pods: typeof before) => pods.map(({ metadata }) => metadata.uid).toSorted();
    expect(uids(await release.pods())).toEqual(uids(before));
  });

  it("is not uninstalled while something uses its certificates, and comes back after it was", async () => {
    const mapping = {
      metadata: { name: "web" },
      spec: { prefix: "/web/", service: "https://web.shop", tls: "edge" },
    };
    await api.create(pathOf(resources.mappings, { namespace }), {
      apiVersion: "getambassador.io/v3alpha1",
      kind: "Mapping",
      ...mapping,
    });
    await release.until("edge", ({ usedBy = [] }) => usedBy.length > 0);
    const refused = release.helm("uninstall", undefined, "--timeout=150s");
    await expect(refused).rejects.toThrow("used by Mapping emissary/web: attaché is uninstalled");
    await release.until("edge", isReady);
    await api.delete(pathOf(resources.mappings, { namespace, name: "web" }));
    await release.until("edge", ({ usedBy = [] }) => usedBy.length === 0);
    await release.helm("uninstall", undefined, "--wait", "--timeout=150s");
    for (const resource of [resources.meshCertificates, resources.tlsContexts, resources.leases])
      expect(await api.get(pathOf(resource, { namespace }))).toMatchObject({ items: [] });
    await release.helm("install", "consul", "--wait", "--timeout=150s");
    await release.until("edge", isReady);
  });

  it("keeps what it has published without DNS, says so, and goes on by itself when DNS answers", async () => {
    const scale = (replicas: number) =>
      kubectl("scale", "deployment/coredns", "-n", "kube-system", `--replicas=${replicas}`);
    await scale(0);
    onTestFinished(async () => {
      await scale(1);
      await rolledOut(node, "kube-system", "deployment/coredns");
    });
    await vi.waitFor(async () => {
      const { items } = await api.get<{ items: unknown[] }>("/api/v1/namespaces/kube-system/pods");
      expect(items).toEqual([]);
    });
    // A connection that stands needs no name.
    await kubectl("delete", "pods", "-n", namespace, "-l", "app.kubernetes.io/instance=attache");
    const isUnresolved = (status: Status) =>
      conditionOf(status, "SourceReady")?.message.includes("consul-server.consul.svc does not resolve");
    expect(isReady(await release.until("edge", isUnresolved))).toBe(true);
    await scale(1);
    await renewed();
  });

  it("keeps its pods when the image of an upgrade is missing, and rolls out the right one", async () => {
    await release.helm("upgrade", "consul", "--no-hooks", "--set=image.tag=missing,image.pullPolicy=Never");
    await vi.waitFor(async () => {
      const reasons = (await release.pods()).flatMap(({ status }) =>
        (status.containerStatuses ?? []).map(({ state }) => state.waiting?.reason),
      );
      expect(reasons).toContain("ErrImageNeverPull");
    });
    await renewed();
    await release.helm("upgrade", "consul", "--no-hooks", "--wait", "--timeout=150s");
  });

  it("starts again with the node after a crash, and publishes what the mesh then has", async () => {
    const { spiffeId } = await release.until("edge", isReady);
    await node.crash();
    // Consul has forgotten everything, and has another trust domain.
    await release.until("edge", (status) => isReady(status) && status.spiffeId !== spiffeId);
    await release.rolledOut();
  });

  it("lets go of its own namespace, which is deleted with all that it publishes", async () => {
    await deleteNamespace(node, namespace);
    expect(await api.call("GET", `/api/v1/namespaces/${namespace}`)).toMatchObject({ status: 404 });
    await createNamespace(node, namespace);
    await copyAuthority(node, namespace);
    // What belongs to the cluster has stayed.
    await release.helm("uninstall", undefined, "--no-hooks", "--ignore-not-found");
    await release.helm("install", "consul", "--wait", "--timeout=150s");
    await release.until("edge", isReady);
  });

  /** Whatever happened, a new leaf can be had. */
  async function renewed(): Promise<void> {
    const { serialNumber } = await release.until("edge", isReady);
    const value = String(performance.now());
    await api.patch(pathOf(resources.meshCertificates, { namespace, name: "edge" }), {
      metadata: { annotations: { "attache.dev/renew": value } },
    });
    await release.until("edge", (status) => isReady(status) && status.serialNumber !== serialNumber);
  }
});

const identities = ["edge", "other"].map((name) => ({ name, spec: { consul: { service: name } } }));

/** Kills the process of attaché in the pod whose UID is the argument; the cgroup names it. */
const killed = `
for folder in /proc/[0-9]*; do
  if grep -q "$1" "$folder/cgroup" && grep -q dist/main.js "$folder/cmdline"; then
    kill -KILL "\${folder#/proc/}"
    exit
  fi
done 2> /dev/null
echo "no process of attaché in the pod $1" >&2
exit 1
`;
