import { afterAll, beforeAll, expect, it } from "vitest";
import { createNamespace, describeOnNode } from "./cluster.ts";
import { copyAuthority, startConsul, stopConsul } from "./consul.ts";
import { isReady, releaseIn } from "./release.ts";

const namespace = "emissary";

describeOnNode("attaché, installed by helm where Pod Security admits only restricted pods,", (node) => {
  const release = releaseIn(node, namespace);

  beforeAll(async () => {
    await createNamespace(node, namespace);
    await startConsul(node);
    await copyAuthority(node, namespace);
  });
  afterAll(async () => {
    await release.remove();
    await stopConsul(node);
  });

  it("gets its pods Ready, and publishes a certificate of Consul", async () => {
    await release.helm("install", "consul", "--set-json=emissary=[]", "--wait", "--timeout=150s");
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

  it("finds nothing wrong with itself", async () => {
    await release.helm("test", undefined, "--timeout=150s");
  });
});
