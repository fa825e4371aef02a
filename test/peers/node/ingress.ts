import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { vi } from "vitest";
import { cache } from "../build.ts";
import type { Node } from "./node.ts";

/** The address of the node. */
const address = "172.30.0.2";

/** An Emissary as test/e2e imitates it, with a real Envoy, which runs in the node beside its pods. */
export interface Ingress extends AsyncDisposable {
  /** Creates its admin Service in a namespace, as its chart does there. */
  announce(namespace: string): Promise<void>;
  /** Status and body of an answer through Envoy; empty if there is none. */
  get(path: string): Promise<string>;
}

/** @param namespace whose objects it follows; need not be there yet. */
export async function startIngress(node: Node, namespace: string): Promise<Ingress> {
  const dns = "nameserver 10.96.0.10\\nsearch svc.cluster.local\\noptions ndots:5\\n";
  await node.run("bash", "-c", `printf '${dns}' > /etc/resolv.conf`);
  const program = join(import.meta.dirname, "ingress-process.ts");
  const environment = ["env", `ATTACHE_PEERS_CACHE=${cache()}`];
  await node.start("ingress", ...environment, process.execPath, program, node.folder, namespace);
  const pid = await vi.waitFor(() => readFile(join(node.folder, "ingress.pid"), "utf8"), 60_000);
  return {
    async announce(where) {
      const [name, port] = ["emissary-ingress-admin", "ambassador-admin"];
      await node.api.create(`/api/v1/namespaces/${where}/services`, {
        metadata: { name },
        spec: { ports: [{ name: port, port: 8877 }] },
      });
      await node.api.create(`/apis/discovery.k8s.io/v1/namespaces/${where}/endpointslices`, {
        metadata: { name, labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        endpoints: [
          {
            addresses: [address],
            conditions: { ready: true },
            targetRef: { kind: "Pod", namespace: where, name: "emissary-ingress" },
          },
        ],
        ports: [{ name: port, port: 8877 }],
      });
    },
    get: (path) => node.run(process.execPath, "-e", ask, `http://${address}:8080${path}`),
    async [Symbol.asyncDispose]() {
      await node.run("kill", pid);
    },
  };
}

const ask = `fetch(process.argv[1]).then(
  async (answer) => process.stdout.write(answer.status + " " + (await answer.text())),
  () => undefined,
)`;
