import { randomUUID } from "node:crypto";
import { createLeaf, createRoot } from "../../fixtures/pki.ts";
import { createNamespace, rolledOut } from "./cluster.ts";
import type { Node } from "./node.ts";

const namespace = "consul";

/**
 * A server of Consul in a pod, as consul-k8s sets it up: its names, TLS on gRPC, the CA in a Secret, and with ACLs the auth
 * method that makes each ServiceAccount the service of its name.
 */
export async function startConsul(
  node: Node,
  { acl = false }: { readonly acl?: boolean } = {},
): Promise<{ readonly token: string }> {
  const files = await issue();
  const token = randomUUID();
  const settings = `
    ports { grpc = -1, grpc_tls = 8502 }
    tls { grpc { cert_file = "/consul/tls.crt", key_file = "/consul/tls.key", ca_file = "/consul/ca.crt" } }
    ${acl ? `acl { enabled = true, default_policy = "deny", tokens { initial_management = "${token}" } }` : ""}`;
  await createNamespace(node, namespace);
  const secrets = `/api/v1/namespaces/${namespace}/secrets`;
  await node.api.create(secrets, { metadata: { name: "consul-ca-cert" }, stringData: files.authority });
  await node.api.create(secrets, {
    metadata: { name: "consul-server" },
    stringData: { "server.hcl": settings, ...files.server },
  });
  await node.apply("consul");
  await rolledOut(node, namespace, "deployment/consul");
  if (acl) await addAuthMethod(node, token);
  return { token };
}

/** A CA, and the files of a server with a certificate of it. */
async function issue() {
  const ca = await createRoot();
  const names = ["consul-server.consul.svc", "server.dc1.consul"];
  const leaf = await createLeaf(ca, { uris: [], dns: names });
  const server = { "tls.crt": leaf.pem, "tls.key": leaf.keyPem, "ca.crt": ca.pem };
  return { authority: { "tls.crt": ca.pem }, server };
}

/** Gives the server a certificate of another CA; it starts again, and has forgotten everything. */
export async function replaceAuthority(node: Node): Promise<void> {
  const { authority, server } = await issue();
  const secrets = `/api/v1/namespaces/${namespace}/secrets`;
  await node.api.patch(`${secrets}/consul-ca-cert`, { stringData: authority });
  await node.api.patch(`${secrets}/consul-server`, { stringData: server });
  await node.kubectl("rollout", "restart", "deployment/consul", "-n", namespace);
  await rolledOut(node, namespace, "deployment/consul");
}

/** As control-plane/subcommand/server-acl-init/connect_inject.go of consul-k8s v2.0.3 does. */
async function addAuthMethod(node: Node, token: string): Promise<void> {
  const account = "consul-auth-method";
  await node.kubectl("create", "serviceaccount", account, "-n", namespace);
  await node.kubectl(
    "create",
    "clusterrolebinding",
    account,
    "--clusterrole=system:auth-delegator",
    `--serviceaccount=${namespace}:${account}`,
  );
  await node.kubectl("create", "clusterrole", "consul-accounts", "--verb=get", "--resource=serviceaccounts");
  await node.kubectl(
    "create",
    "clusterrolebinding",
    "consul-accounts",
    "--clusterrole=consul-accounts",
    `--serviceaccount=${namespace}:${account}`,
  );
  const { data } = await node.api.get<{ data: Readonly<Record<string, string>> }>(
    `/api/v1/namespaces/${namespace}/configmaps/kube-root-ca.crt`,
  );
  const jwt = (await node.kubectl("create", "token", account, "-n", namespace)).trim();
  const consul = (...args: readonly string[]) =>
    node.kubectl(
      "exec",
      "-n",
      namespace,
      "deployment/consul",
      "--",
      "/bin/consul",
      "acl",
      ...args,
      `-token=${token}`,
    );
  const method = "consul-k8s-auth-method";
  await consul(
    "auth-method",
    "create",
    "-type=kubernetes",
    `-name=${method}`,
    "-kubernetes-host=https://kubernetes.default.svc",
    `-kubernetes-ca-cert=${data["ca.crt"] ?? ""}`,
    `-kubernetes-service-account-jwt=${jwt}`,
  );
  await consul(
    "binding-rule",
    "create",
    `-method=${method}`,
    "-bind-type=service",
    "-bind-name=${serviceaccount.name}",
    "-selector=serviceaccount.name!=default",
  );
}

/** Copies its CA to another namespace, as the how-to says, or the one that it has now. */
export async function copyAuthority({ api }: Node, to: string): Promise<void> {
  const secrets = (where: string) => `/api/v1/namespaces/${where}/secrets`;
  const { data } = await api.get(`${secrets(namespace)}/consul-ca-cert`);
  const head = { apiVersion: "v1", kind: "Secret", metadata: { name: "consul-ca-cert" } };
  await api.apply(`${secrets(to)}/consul-ca-cert`, { ...head, data });
}

/** Removes it. */
export async function stopConsul(node: Node): Promise<void> {
  await node.kubectl(
    "delete",
    "clusterrolebinding",
    "consul-auth-method",
    "consul-accounts",
    "--ignore-not-found",
  );
  await node.kubectl("delete", "clusterrole", "consul-accounts", "--ignore-not-found");
  await node.kubectl("delete", "namespace", namespace, "--timeout=120s");
}
