import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Attache, startAttache } from "../../../src/app/attache.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { loadSettings } from "../../../src/config/load.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { kubeconfigOf } from "../../peers/kubernetes/kubeconfig.ts";
import { installMesh } from "../plugin.ts";
import type { Client } from "./client.ts";

/**
 * attaché in this process as it runs in a cluster, lease, server and metrics included, over a prepared mesh.
 */
export async function startProcess(
  folder: string,
  namespace: string,
  { access }: Client,
  onPublished: (identity: string) => void = () => undefined,
): Promise<Attache> {
  const kubeconfig = join(folder, `${namespace}.kubeconfig`);
  await writeFile(kubeconfig, kubeconfigOf(access, namespace));
  const file = join(folder, `${namespace}.yaml`);
  await writeFile(
    file,
    JSON.stringify({
      meshes: { bench: await installMesh(folder) },
      server: { listen: "127.0.0.1:0" },
      // Rotations follow each other here so that each can be measured, and each counts as one that comes
      // alone.
      limits: { rotationWindow: "0s" },
      store: { kind: "kubernetes", kubernetes: { kubeconfig, namespaces: [namespace] } },
    }),
  );
  return startAttache({
    loaded: await loadSettings(file),
    clock: systemClock,
    logger: createLogger("warn"),
    env: {},
    onPublished: ({ identity }) => onPublished(identity),
  });
}
