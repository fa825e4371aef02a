import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import type { Status } from "../../../src/api/mesh-certificate.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createAuthority } from "../../../src/mesh/development/authority.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { startDevelopmentAgent } from "../../fixtures/consul-agent/agent.ts";
import { cluster as sharedCluster } from "../kubernetes/cluster.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";
import { chart, helm } from "./chart.ts";
import { startPod } from "./pod.ts";
import { temporaryFolder } from "./temporary.ts";

it("two releases of one name in two namespaces serve one mesh, and the end of one leaves the other alone", async () => {
  const cluster = await sharedCluster();
  const { admin, access } = cluster;
  const trustDomain = "11111111-2222-3333-4444-555555555555.consul";
  const authority = await createAuthority({ trustDomain, clock: systemClock });
  await using agent = await startDevelopmentAgent({ authority, clock: systemClock });
  const folder = await temporaryFolder();

  async function install() {
    const namespace = await cluster.namespace();
    const kubeconfig = join(folder, namespace);
    await writeFile(kubeconfig, kubeconfigOf(access, namespace));
    const at = ["-n", namespace, "--kubeconfig", kubeconfig];
    const spec = { consul: { service: "edge" }, target: { tlsContext: { name: namespace } } };
    await helm(["install", "attache", chart, "-f", "-", ...at], {
      meshes: { consul: { enabled: true, ...agent.settings } },
      identities: [{ name: "edge", spec }],
    });
    const uninstall = () => helm(["uninstall", "attache", "--no-hooks", "--ignore-not-found", ...at]);
    onTestFinished(() => uninstall().then(() => undefined));
    const attache = await startPod(cluster, { release: "attache", namespace, fill: (text) => text });
    onTestFinished(() => attache[Symbol.asyncDispose]());
    const path = pathOf(resources.meshCertificates, { namespace, name: "edge" });
    onTestFinished(() =>
      admin.patch(path, { metadata: { finalizers: null } }).then(
        () => undefined,
        () => undefined,
      ),
    );
    const until = (holds: (status: Status) => boolean) =>
      vi.waitFor(async () => {
        const { status } = await admin.get<{ readonly status?: Status }>(path);
        if (status === undefined || !holds(status))
          throw new Error(`${JSON.stringify(status)} ${attache.stderr}`);
        return status;
      }, 40_000);
    const context = pathOf(resources.tlsContexts, { namespace, name: namespace });
    return { attache, context, until, uninstall };
  }

  const [one, other] = [await install(), await install()];
  const isReady = ({ conditions }: Status) =>
    conditions.some(({ type, status }) => type === "Ready" && status === "True");
  for (const { until } of [one, other]) await until(isReady);
  await one.uninstall();
  one.attache.process.kill("SIGTERM");
  await one.attache.finished;
  await admin.delete(other.context);
  await vi.waitFor(() => admin.get(other.context), 40_000);
  await other.until(isReady);
  expect(other.attache.stderr).not.toContain("FORBIDDEN");
});
