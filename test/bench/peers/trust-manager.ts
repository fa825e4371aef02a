import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createRoot } from "../../fixtures/pki.ts";
import { buildPeer } from "../../peers/build.ts";
import { startGuarded } from "../../peers/guarded.ts";
import { kubeconfigOf } from "../../peers/kubernetes/kubeconfig.ts";
import { type Client, merge, onAll } from "../kubernetes/client.ts";
import { guarded, type Running } from "../meshes/attache.ts";
import type { Watched } from "./observed.ts";

/** Copies the roots of one Bundle into a ConfigMap in each of many namespaces. */
export interface TrustManager {
  readonly agent: string;
  start(): Promise<Running>;
  readonly targets: Watched;
  addRoot(): Promise<void>;
}

const bundles = "/apis/trust.cert-manager.io/v1alpha1/bundles";
const label = { "bench.attache.dev/tenant": "true" };

/** trust-manager's controller, a Bundle, and `count` namespaces for it. @param folder of its own */
export async function trustManager(client: Client, folder: string, count: number): Promise<TrustManager> {
  const program = join(await buildPeer("trust-manager"), "trust-manager");
  const namespace = "trust-manager";
  const newNamespace = (name: string, labels: object) => {
    const body = { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } };
    return client.send("POST", pathOf(resources.namespaces), body);
  };
  await newNamespace(namespace, {});
  await onAll(count, async (index) => {
    await newNamespace(`tenant-${index}`, label);
  });
  const sources = [{ inLine: (await createRoot()).pem }];
  await client.send("POST", bundles, {
    apiVersion: "trust.cert-manager.io/v1alpha1",
    kind: "Bundle",
    metadata: { name: "roots" },
    spec: { sources, target: { configMap: { key: "ca.crt" }, namespaceSelector: { matchLabels: label } } },
  });

  return {
    agent: "trust-manager",
    async start() {
      const kubeconfig = join(folder, "trust-manager.kubeconfig");
      await writeFile(kubeconfig, kubeconfigOf(client.access, namespace));
      const args = [`--kubeconfig=${kubeconfig}`, `--namespace=${namespace}`];
      return guarded(startGuarded(program, args), args[0] ?? "");
    },
    targets: {
      path: pathOf(resources.configMaps),
      labelSelector: "trust.cert-manager.io/bundle",
      key: "ca.crt",
    },
    async addRoot() {
      sources.push({ inLine: (await createRoot()).pem });
      await client.send("PATCH", `${bundles}/roots`, { spec: { sources } }, merge);
    },
  };
}
