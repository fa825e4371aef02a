import { pathOf, resources } from "../../../src/kube/resources.ts";
import { type Client, onAll } from "./client.ts";

interface Wanted {
  readonly mesh: string;
  readonly namespace: string;
  readonly count: number;
}

/** Creates MeshCertificates `svc-0`, `svc-1` and so on, each for the service of its name. */
export function wantCertificates(client: Client, { mesh, namespace, count }: Wanted): Promise<void> {
  return onAll(count, async (index) => {
    const service = `svc-${index}`;
    await client.send("POST", pathOf(resources.meshCertificates, { namespace }), {
      apiVersion: "attache.dev/v1alpha1",
      kind: "MeshCertificate",
      metadata: { namespace, name: service },
      // To Emissary a context's name is one in all namespaces.
      spec: { mesh, plugin: { service }, target: { tlsContext: { name: `${namespace}-${service}` } } },
    });
  });
}
