import type { Access } from "./rest.ts";

/** Of `system:masters`, to whom RBAC denies nothing. */
export const admin = { name: "admin", token: "admins-own-token-of-the-tests" };

/** As `kubectl` reads it; YAML is a superset of JSON. */
export function kubeconfigOf({ server, ca, token }: Access, namespace = "default"): string {
  const name = "attache-tests";
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name, cluster: { server, "certificate-authority-data": Buffer.from(ca).toString("base64") } },
    ],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
    "current-context": name,
  });
}
