import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildPeer } from "../build.ts";
import { auditPolicy } from "./audit.ts";
import { quoted } from "./images.ts";

/** Where the API server listens in the node. */
const server = "https://172.30.0.2:6443";

/** Who asks the API server, each with its name as its token: nothing outside of the node reaches it. */
const users = {
  admin: ["admin", "system:masters"],
  kubelet: ["system:node:attache-node", "system:nodes"],
  manager: ["system:kube-controller-manager", ""],
  scheduler: ["system:kube-scheduler", ""],
  proxy: ["system:kube-proxy", ""],
} as const;

/** Writes boot.sh, which starts the programs of a node, environment.sh, which they run in, and their settings. */
export async function writeDaemons(folder: string): Promise<void> {
  const path = (...names: readonly string[]) => join(folder, ...names);
  for (const name of ["log", "home", "cni"]) await mkdir(path(name), { recursive: true });
  const tokens = Object.entries(users).map(
    ([token, [name, group]]) => `${token},${name},${name},"${group}"\n`,
  );
  await writeFile(path("tokens.csv"), tokens.join(""));
  for (const user of Object.keys(users))
    await writeFile(path(`${user}.kubeconfig`), kubeconfig(folder, user));
  await writeFile(path("audit.yaml"), JSON.stringify(auditPolicy));
  await writeFile(path("kubelet.yaml"), JSON.stringify(kubelet));
  await writeFile(path("proxy.yaml"), JSON.stringify(proxy(path("proxy.kubeconfig"))));
  await writeFile(path("containerd.toml"), containerd(await buildPeer("node/cni"), path("cni")));
  await writeFile(path("cni/10-pods.conflist"), JSON.stringify(network));
  const certificate = path("api/apiserver.crt");
  await writeFile(
    path("environment.sh"),
    `export HOME=${quoted(path("home"))} PATH=${quoted(await programs())}:"$PATH"\n`,
  );
  const lines = [
    `. ${quoted(path("environment.sh"))}`,
    daemon("containerd", "-c", path("containerd.toml")),
    daemon("etcd", ...etcd(path("etcd"))),
    daemon("kube-apiserver", ...apiServer(folder)),
    "until ctr version > /dev/null 2>&1; do sleep 0.1; done",
    `until kubectl --kubeconfig ${quoted(path("admin.kubeconfig"))} get --raw /readyz > /dev/null 2>&1; do sleep 0.2; done`,
    daemon(
      "kubelet",
      `--kubeconfig=${path("kubelet.kubeconfig")}`,
      `--config=${path("kubelet.yaml")}`,
      ...kubeletFlags,
    ),
    daemon("kube-controller-manager", ...manager(folder, certificate)),
    daemon(
      "kube-scheduler",
      `--kubeconfig=${path("scheduler.kubeconfig")}`,
      "--leader-elect=false",
      "--bind-address=127.0.0.1",
      `--cert-dir=${path("scheduler")}`,
    ),
    daemon("kube-proxy", `--config=${path("proxy.yaml")}`, "--hostname-override=attache-node"),
    `rm -f ${quoted(path("api.sock"))}`,
    daemon(
      "kubectl",
      `--kubeconfig=${path("admin.kubeconfig")}`,
      "proxy",
      `--unix-socket=${path("api.sock")}`,
    ),
  ];
  await writeFile(path("boot.sh"), `${lines.join("\n")}\n`);
}

/** The folders of the programs, as a PATH. */
async function programs(): Promise<string> {
  const folders: string[] = [];
  for (const name of ["etcd", "kubernetes", "helm", "node/kubernetes", "node/containerd"] as const)
    folders.push(await buildPeer(name));
  return folders.join(":");
}

function daemon(program: string, ...args: readonly string[]): string {
  return ["run", program, program, ...args.map(quoted)].join(" ");
}

function kubeconfig(folder: string, user: string): string {
  const name = "node";
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server, "certificate-authority": join(folder, "api/apiserver.crt") } }],
    users: [{ name: user, user: { token: user } }],
    contexts: [{ name, context: { cluster: name, user } }],
    "current-context": name,
  });
}

function etcd(data: string): string[] {
  const [client, peer] = ["http://127.0.0.1:2379", "http://127.0.0.1:2380"];
  return [
    `--data-dir=${data}`,
    "--unsafe-no-fsync",
    "--log-level=error",
    `--listen-client-urls=${client}`,
    `--advertise-client-urls=${client}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=default=${peer}`,
  ];
}

function apiServer(folder: string): string[] {
  const issuer = "https://kubernetes.default.svc.cluster.local";
  return [
    "--etcd-servers=http://127.0.0.1:2379",
    "--bind-address=0.0.0.0",
    "--advertise-address=172.30.0.2",
    "--secure-port=6443",
    // It makes its certificate and key there, and signs tokens with the key.
    `--cert-dir=${folder}/api`,
    `--service-account-key-file=${folder}/api/apiserver.key`,
    `--service-account-signing-key-file=${folder}/api/apiserver.key`,
    `--service-account-issuer=${issuer}`,
    `--api-audiences=${issuer},istio-ca`,
    `--token-auth-file=${folder}/tokens.csv`,
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    `--audit-policy-file=${folder}/audit.yaml`,
    `--audit-log-path=${folder}/audit.log`,
    "--service-cluster-ip-range=10.96.0.0/16",
    "--allow-privileged=true",
    "--kubelet-preferred-address-types=InternalIP",
    "--feature-gates=ClusterTrustBundle=true",
    "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
  ];
}

function manager(folder: string, certificate: string): string[] {
  return [
    `--kubeconfig=${folder}/manager.kubeconfig`,
    "--use-service-account-credentials",
    `--service-account-private-key-file=${folder}/api/apiserver.key`,
    `--root-ca-file=${certificate}`,
    "--leader-elect=false",
    "--bind-address=127.0.0.1",
    `--cert-dir=${folder}/manager`,
  ];
}

const kubelet = {
  apiVersion: "kubelet.config.k8s.io/v1beta1",
  kind: "KubeletConfiguration",
  failCgroupV1: false,
  cgroupDriver: "cgroupfs",
  containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
  // Only the node reaches it.
  authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
  authorization: { mode: "AlwaysAllow" },
  clusterDomain: "cluster.local",
  clusterDNS: ["10.96.0.10"],
  resolvConf: "",
  // They would need iptables; kube-proxy has nft.
  makeIPTablesUtilChains: false,
  // It checks the machine's settings, which init.sh has hidden, and does not change them.
  protectKernelDefaults: true,
  imageGCHighThresholdPercent: 100,
  evictionHard: {
    "memory.available": "100Mi",
    "nodefs.available": "1%",
    "imagefs.available": "1%",
    "nodefs.inodesFree": "1%",
  },
  // By default a changed ConfigMap takes a minute to reach a pod.
  syncFrequency: "5s",
};

const kubeletFlags = [
  "--hostname-override=attache-node",
  "--node-ip=172.30.0.2",
  "--root-dir=/var/lib/kubelet",
];

function proxy(kubeconfigFile: string): object {
  return {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: "nftables",
    clusterCIDR: "10.244.0.0/16",
    clientConnection: { kubeconfig: kubeconfigFile },
    // These belong to the whole machine.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: "0s", tcpCloseWaitTimeout: "0s" },
  };
}

const network = {
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      hairpinMode: true,
      ipam: { type: "host-local", ranges: [[{ subnet: "10.244.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] },
    },
  ],
};

function containerd(plugins: string, networks: string): string {
  return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.internal.v1.tracing", "io.containerd.nri.v1.nri",
]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "registry.k8s.io/pause:3.10.1"

[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # Root may lack CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["${plugins}"]
    conf_dir = "${networks}"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "runc"
        SystemdCgroup = false
`;
}
