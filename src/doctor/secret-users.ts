import { hostAsUser, ingressAsUser, moduleAsUsers } from "../emissary/secret-users.ts";
import { type SecretUser, tlsContextOf } from "../emissary/tls-context.ts";
import type { KubeClient } from "../kube/client.ts";
import { resources } from "../kube/resources.ts";
import { listed } from "./contexts.ts";

/** All TLSContexts, Hosts, Ingresses and Modules that name Secrets. @throws ApiError */
export async function secretUsersIn(api: KubeClient, namespace: string | undefined): Promise<SecretUser[]> {
  const readers = [
    [resources.tlsContexts, tlsContextOf],
    [resources.hosts, hostAsUser],
    [resources.ingresses, ingressAsUser],
    [resources.modules, moduleAsUsers],
  ] as const;
  const found = await Promise.all(
    readers.map(async ([resource, read]) =>
      (await listed(api, resource, namespace)).flatMap((object) => read(object) ?? []),
    ),
  );
  return found.flat();
}
