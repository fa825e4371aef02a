import { createNamespace, rolledOut } from "./cluster.ts";
import { attacheName } from "./images.ts";
import type { Node } from "./node.ts";

/** Of the service `web` that the how-tos call. */
export const webNamespace = "shop";

/** The service behind the mTLS proxy that is a part of Consul. @param token that may do everything */
export async function startWebOfConsul(node: Node, token: string): Promise<void> {
  const exec = ["exec", "-n", "consul", "deployment/consul", "--", "/bin/consul"];
  await node.kubectl(...exec, "intention", "create", "-allow", `-token=${token}`, "edge", "web");
  const server = "require('node:http').createServer(answer).listen(8080, '127.0.0.1')";
  await startWeb(node, "web-sidecar", 20_000, {
    containers: [
      await answering(server),
      container("sidecar", "hashicorp/consul:test", {
        args: [
          ...["connect", "proxy", "-service=web", "-service-addr=127.0.0.1:8080", "-listen=:20000"],
          ...["-http-addr=http://consul-server.consul.svc:8500", `-token=${token}`],
        ],
      }),
    ],
  });
}

/** The service with a certificate that istiod signs for Istio's agent in its pod. */
export async function startWebOfIstio(node: Node): Promise<void> {
  const proxy = {
    binaryPath: "/usr/local/bin/pause",
    customConfigFile: "/settings/envoy.json",
    configPath: "/proxy",
    discoveryAddress: "istiod.istio-system.svc:15012",
    terminationDrainDuration: "0s",
  };
  const env = {
    POD_NAME: "web",
    POD_NAMESPACE: webNamespace,
    SERVICE_ACCOUNT: "web",
    INSTANCE_IP: "127.0.0.1",
    TRUST_DOMAIN: "cluster.local",
    OUTPUT_CERTS: "/certs",
    GRPC_XDS_BOOTSTRAP: "/proxy/grpc-bootstrap.json",
    PROXY_CONFIG: JSON.stringify(proxy),
  };
  const secrets = "/var/run/secrets";
  const token = { path: "istio-token", audience: "istio-ca", expirationSeconds: 3_600 };
  const pod = {
    serviceAccountName: "web",
    containers: [
      await answering(mutualTls(8_080), [certificates]),
      container("istio-proxy", "istio/proxyv2:test", {
        args: ["proxy", "sidecar", "--log_output_level=all:warn"],
        env: Object.entries(env).map(([name, value]) => ({ name, value })),
        volumeMounts: [
          certificates,
          { name: "token", mountPath: `${secrets}/tokens` },
          { name: "roots", mountPath: `${secrets}/istio` },
          { name: "sockets", mountPath: `${secrets}/workload-spiffe-uds` },
          { name: "settings", mountPath: "/settings" },
          { name: "proxy", mountPath: "/proxy" },
          { name: "tmp", mountPath: "/tmp" },
        ],
      }),
    ],
    volumes: [
      ...["certificates", "sockets", "proxy", "tmp"].map((name) => ({ name, emptyDir: {} })),
      { name: "token", projected: { sources: [{ serviceAccountToken: token }] } },
      { name: "roots", configMap: { name: "istio-ca-root-cert" } },
      { name: "settings", secret: { secretName: "web" } },
    ],
  };
  await startWeb(node, "web", 8_080, pod, { "envoy.json": "{}" });
}

/** The service with a certificate that SPIRE's server mints for it. */
export async function startWebOfSpire(node: Node): Promise<void> {
  const server = ["exec", "-n", "spire", "spire-server-0", "--", "/opt/spire/bin/spire-server"];
  const minted = await node.kubectl(...server, "x509", "mint", "-spiffeID", "spiffe://example.org/web");
  const [, leaf = "", key = "", roots = ""] = minted.split(/^(?:X509-SVID|Private key|Root CAs):$/m);
  const pod = {
    containers: [await answering(mutualTls(8_443), [certificates])],
    volumes: [{ name: "certificates", secret: { secretName: "web" } }],
  };
  await startWeb(node, "web", 8_443, pod, {
    "cert-chain.pem": leaf,
    "key.pem": key,
    "root-cert.pem": roots,
  });
}

/** The namespace, the Service and its pod. @param files of a Secret `web` */
async function startWeb(
  node: Node,
  name: string,
  port: number,
  pod: object,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { api } = node;
  await createNamespace(node, webNamespace);
  const core = `/api/v1/namespaces/${webNamespace}`;
  const [metadata, labels] = [{ name: "web" }, { app: "web" }];
  await api.create(`${core}/serviceaccounts`, { metadata });
  await api.create(`${core}/secrets`, { metadata, stringData: files });
  await api.create(`${core}/services`, { metadata: { name }, spec: { selector: labels, ports: [{ port }] } });
  const spec = { securityContext: podSecurity, terminationGracePeriodSeconds: 1, ...pod };
  await api.create(`/apis/apps/v1/namespaces/${webNamespace}/deployments`, {
    metadata,
    spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  });
  await rolledOut(node, webNamespace, "deployment/web");
}

const podSecurity = {
  ...{ runAsNonRoot: true, runAsUser: 1337, runAsGroup: 1337, fsGroup: 1337 },
  seccompProfile: { type: "RuntimeDefault" },
};

const certificates = { name: "certificates", mountPath: "/certs" };

function container(name: string, image: string, more: object): object {
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };
  return { name, image, imagePullPolicy: "Never", securityContext, ...more };
}

/** @param server a program that answers with `answer` */
async function answering(server: string, volumeMounts: readonly object[] = []): Promise<object> {
  const script = `const answer = (_, response) => response.end("hello from web"); ${server};`;
  return container("web", await attacheName(), { command: ["node", "-e", script], volumeMounts });
}

/** A program that serves clients of the mesh alone, once it has its files. */
function mutualTls(port: number): string {
  return `
    const read = (name) => require("node:fs").readFileSync("/certs/" + name);
    const start = () => {
      try {
        const own = { cert: read("cert-chain.pem"), key: read("key.pem"), ca: read("root-cert.pem") };
        const options = { ...own, requestCert: true, rejectUnauthorized: true };
        require("node:https").createServer(options, answer).listen(${port});
      } catch {
        setTimeout(start, 200);
      }
    };
    start()`;
}
