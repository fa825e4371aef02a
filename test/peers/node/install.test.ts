import { afterAll, beforeAll, expect, it } from "vitest";
import { conditionOf } from "../../../src/api/status.ts";
import { createNamespace, describeOnNode } from "./cluster.ts";
import { copyAuthority, replaceAuthority, startConsul, stopConsul } from "./consul.ts";
import { isReady, releaseIn } from "./release.ts";

const namespace = "emissary";

describeOnNode("attaché, installed by helm where Pod Security admits only restricted pods,", (node) => {
  const release = releaseIn(node, namespace);

  beforeAll(async () => {
    await createNamespace(node, namespace);
    await startConsul(node);
  });
  afterAll(async () => {
    await release.remove();
    await stopConsul(node);
  });

  it("gets its pods Ready, and says that the Secret with Consul's CA is missing", async () => {
    await release.helm("install", "consul", "--set-json=emissary=[]", "--timeout=150s");
    await release.rolledOut();
    await release.until("edge", (status) =>
      conditionOf(status, "SourceReady")?.message.includes("/var/run/attache/consul/ca.crt cannot be read"),
    );
  });

  it("publishes a certificate of Consul once the Secret is there", async () => {
    await copyAuthority(node, namespace);
    const { spiffeId } = await release.until("edge", isReady);
    expect(spiffeId).toMatch(/^spiffe:\/\/\S+\.consul\/ns\/default\/dc\/dc1\/svc\/edge$/);
  });

  it("runs as its own user, without capabilities, and cannot gain any", async () => {
    const script = "console.log(require('node:fs').readFileSync('/proc/1/status', 'utf8'))";
    const text = await node.kubectl(
      "exec",
      "-n",
      namespace,
      "deployment/attache",
      "--",
      "node",
      "-e",
      script,
    );
    const lines = [
      "Uid:\t65532\t65532\t65532\t65532",
      "CapEff:\t0000000000000000",
      "NoNewPrivs:\t1",
      "Seccomp:\t2",
    ];
    expect(text.split("\n")).toEqual(expect.arrayContaining(lines));
  });

  it("follows the CA of Consul's servers when another takes its place, with the pods that it has", async () => {
    const before = await release.pods();
    const { spiffeId } = await release.until("edge", isReady);
    await replaceAuthority(node);
    await release.until("edge", (status) => conditionOf(status, "SourceReady")?.status === "False");
    await copyAuthority(node, namespace);
    // Consul has another trust domain since its restart.
    await release.until("edge", (status) => isReady(status) && status.spiffeId !== spiffeId);
    const uids = (pods: typeof before) => pods.map(({ metadata }) => metadata.uid).toSorted();
    const after = await release.pods();
    expect(uids(after)).toEqual(uids(before));
    for (const { status } of after) expect(status.containerStatuses).toMatchObject([{ restartCount: 0 }]);
  });

  it("finds nothing wrong with itself", async () => {
    await release.helm("test", undefined, "--timeout=150s");
  });
});
