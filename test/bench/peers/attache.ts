import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bundle } from "../../../deploy/bundle.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createRoot, type Issued } from "../../fixtures/pki.ts";
import { kubeconfigOf } from "../../peers/kubernetes/kubeconfig.ts";
import type { Client } from "../kubernetes/client.ts";
import { wantCertificates } from "../kubernetes/want.ts";
import { runAttache } from "../meshes/attache.ts";
import { installMesh } from "../plugin.ts";
import type { Contender } from "./contender.ts";
import type { Watched } from "./observed.ts";
import { giveOrder } from "./signing-mesh.ts";

export interface AttacheContender extends Contender {
  /** The Secrets that hold roots. */
  roots(namespace: string): Watched;
  /** Has the mesh list one more root. */
  addRoot(): Promise<void>;
}

/** attaché, bundled as it is released, with a mesh that signs in its process. @param folder of its own */
export async function attacheContender(client: Client, folder: string): Promise<AttacheContender> {
  // Beside node_modules, where the native addon is.
  const built = join(import.meta.dirname, "../../../dist/bench/release");
  const entries = { main: "src/main.ts", "signing-mesh": "test/bench/peers/signing-mesh.ts" };
  await bundle({ entries, folder: built });
  const directory = join(folder, "mesh");
  const roots: [Issued, ...Issued[]] = [await createRoot()];
  let generation = 0;
  await giveOrder(directory, generation, roots);
  const secrets = (namespace: string, suffix: string): Watched => ({
    path: pathOf(resources.secrets, { namespace }),
    labelSelector: "attache.dev/installation",
    suffix,
    key: "tls.crt",
  });

  return {
    name: "attache",
    agent: "attache/",

    want: (namespace, count) => wantCertificates(client, { mesh: "signing", namespace, count }),

    async start(namespace) {
      const own = join(folder, namespace);
      await mkdir(own, { recursive: true });
      const kubeconfig = join(own, "kubeconfig");
      await writeFile(kubeconfig, kubeconfigOf(client.access, namespace));
      const settings = {
        meshes: { signing: await installMesh(own, { module: join(built, "signing-mesh.js"), directory }) },
        server: { listen: "127.0.0.1:0" },
        log: { level: "warn" },
        // Each is measured as one that comes alone.
        limits: { rotationWindow: "0s" },
        store: { kind: "kubernetes", kubernetes: { kubeconfig, namespaces: [namespace] } },
      };
      const file = join(own, "attache.yaml");
      await writeFile(file, JSON.stringify(settings));
      return runAttache(join(built, "main.js"), file);
    },

    leaves: (namespace) => secrets(namespace, "-mesh-cert"),

    async renew() {
      generation += 1;
      await giveOrder(directory, generation, roots);
    },

    roots: (namespace) => secrets(namespace, "-mesh-ca"),

    async addRoot() {
      roots.push(await createRoot());
      await giveOrder(directory, generation, roots);
    },
  };
}
