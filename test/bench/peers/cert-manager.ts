import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { createRoot } from "../../fixtures/pki.ts";
import { buildPeer } from "../../peers/build.ts";
import { startGuarded } from "../../peers/guarded.ts";
import { kubeconfigOf } from "../../peers/kubernetes/kubeconfig.ts";
import { apply, type Client, onAll } from "../kubernetes/client.ts";
import { guarded } from "../meshes/attache.ts";
import { uriOf } from "../prepared-mesh.ts";
import type { Contender } from "./contender.ts";

const apiVersion = "cert-manager.io/v1";

/** cert-manager's controllers with a CA issuer in each namespace. @param folder of its own */
export async function certManager(client: Client, folder: string): Promise<Contender> {
  const program = join(await buildPeer("cert-manager"), "cert-manager");
  const root = await createRoot();
  const pathIn = (namespace: string, plural: string) =>
    `/apis/${apiVersion}/namespaces/${namespace}/${plural}`;

  return {
    name: "cert-manager",
    agent: "cert-manager",

    async want(namespace, count) {
      await client.send("POST", pathOf(resources.secrets, { namespace }), {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { namespace, name: "ca" },
        type: "kubernetes.io/tls",
        stringData: { "tls.crt": root.pem, "tls.key": root.keyPem },
      });
      await client.send("POST", pathIn(namespace, "issuers"), {
        apiVersion,
        kind: "Issuer",
        metadata: { namespace, name: "ca" },
        spec: { ca: { secretName: "ca" } },
      });
      await onAll(count, async (index) => {
        const name = `svc-${index}`;
        await client.send("POST", pathIn(namespace, "certificates"), {
          apiVersion,
          kind: "Certificate",
          metadata: { namespace, name },
          spec: {
            secretName: name,
            uris: [uriOf(name)],
            usages: ["digital signature", "client auth", "server auth"],
            privateKey: { algorithm: "ECDSA", size: 256, rotationPolicy: "Always" },
            issuerRef: { name: "ca", kind: "Issuer", group: "cert-manager.io" },
          },
        });
      });
    },

    async start(namespace) {
      const kubeconfig = join(folder, `${namespace}.kubeconfig`);
      await writeFile(kubeconfig, kubeconfigOf(client.access, namespace));
      const args = [`--kubeconfig=${kubeconfig}`, `--namespace=${namespace}`];
      return guarded(startGuarded(program, args), args[0] ?? "");
    },

    // For the attention of its controllers; a Secret with a key alone waits for its certificate.
    leaves: (namespace) => ({
      path: pathOf(resources.secrets, { namespace }),
      labelSelector: "controller.cert-manager.io/fao=true,!cert-manager.io/next-private-key",
      key: "tls.crt",
    }),

    // As `cmctl renew` does it.
    renew: (namespace, count) =>
      onAll(count, async (index) => {
        const name = `svc-${index}`;
        const renewed = {
          type: "Issuing",
          status: "True",
          reason: "ManuallyTriggered",
          message: "Certificate re-issuance manually triggered",
          lastTransitionTime: new Date().toISOString(),
        };
        await client.send(
          "PATCH",
          `${pathIn(namespace, "certificates")}/${name}/status?fieldManager=bench&force=true`,
          {
            apiVersion,
            kind: "Certificate",
            metadata: { namespace, name },
            status: { conditions: [renewed] },
          },
          apply,
        );
      }),
  };
}
