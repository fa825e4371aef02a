import { networkInterfaces } from "node:os";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import type { AttacheProcess } from "./attache-process.ts";
import type { Cluster } from "./cluster.ts";

/** An address of this machine that the API server passes requests to; it refuses those of the loopback. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((some) => some ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "";
}

interface PodOptions {
  readonly namespace: string;
  readonly installation: string;
  readonly attache: Pick<AttacheProcess, "port" | "settings">;
}

/** The pod, ServiceAccount `attache` and ConfigMap that a process stands for, as the chart creates them. */
export async function createPod(
  { admin }: Cluster,
  { namespace, installation, attache }: PodOptions,
): Promise<string> {
  const configMap = `attache-${installation}`;
  await admin.create(pathOf(resources.configMaps, { namespace }), {
    metadata: { name: configMap },
    data: { "attache.yaml": await attache.settings() },
  });
  const path = pathOf(resources.pods, { namespace });
  const { metadata } = await admin.create(path, {
    metadata: { generateName: "attache-", labels: { "attache.dev/installation": installation } },
    spec: {
      serviceAccountName: "attache",
      containers: [
        {
          name: "attache",
          image: "attache:0.1.0",
          env: [{ name: "ATTACHE_CONFIG", value: "/etc/attache/attache.yaml" }],
          ports: [{ name: "http", containerPort: attache.port }],
          volumeMounts: [{ name: "settings", mountPath: "/etc/attache" }],
        },
      ],
      volumes: [{ name: "settings", configMap: { name: configMap } }],
    },
  });
  const { status } = await admin.call(
    "PATCH",
    `${path}/${metadata.name}/status`,
    {
      status: {
        phase: "Running",
        conditions: [{ type: "Ready", status: "True" }],
        podIP: ownAddress(),
        podIPs: [{ ip: ownAddress() }],
      },
    },
    "application/merge-patch+json",
  );
  if (status !== 200) throw new Error(`the pod has no status: ${status}`);
  return metadata.name;
}

/** What an operator may who looks after attaché: read, and ask what others may. */
export const operatorRules = [
  { apiGroups: [""], resources: ["pods", "configmaps", "services", "pods/log"], verbs: ["get", "list"] },
  { apiGroups: [""], resources: ["pods/proxy"], verbs: ["get"] },
  { apiGroups: ["networking.k8s.io"], resources: ["ingresses"], verbs: ["list"] },
  { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list"] },
  { apiGroups: ["events.k8s.io"], resources: ["events"], verbs: ["list"] },
  { apiGroups: ["attache.dev", "getambassador.io"], resources: ["*"], verbs: ["get", "list", "watch"] },
  { apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["list"] },
  { apiGroups: ["authorization.k8s.io"], resources: ["subjectaccessreviews"], verbs: ["create"] },
];
