import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Running, start } from "../../fixtures/cli.ts";
import type { Cluster } from "../kubernetes/cluster.ts";
import { kubeconfigOf } from "../kubernetes/kubeconfig.ts";

interface Source {
  readonly secret?: { readonly name: string; readonly items: readonly { key: string; path: string }[] };
  readonly serviceAccountToken?: { readonly path: string; readonly audience: string };
}

interface PodSpec {
  readonly serviceAccountName: string;
  readonly volumes: readonly {
    readonly name: string;
    readonly projected?: { readonly sources: readonly Source[] };
  }[];
  readonly containers: readonly [
    { readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[] },
  ];
}

/**
 * attaché as the Deployment of a release says, in place of a kubelet: with the release's settings and ServiceAccount, and
 * the files of its projected volumes.
 * @param fill replaces the addresses that only a cluster has.
 */
export async function startPod(
  { admin, access }: Cluster,
  { release, namespace, fill }: { release: string; namespace: string; fill: (settings: string) => string },
): Promise<Running> {
  const folder = await mkdtemp(join(tmpdir(), "attache-pod-"));
  const core = `/api/v1/namespaces/${namespace}`;
  const { spec } = await admin.get<{ spec: { template: { spec: PodSpec } } }>(
    `/apis/apps/v1/namespaces/${namespace}/deployments/${release}`,
  );
  const pod = spec.template.spec;

  async function token(audience?: string): Promise<string> {
    const { status } = await admin.create<{ status: { token: string } }>(
      `${core}/serviceaccounts/${pod.serviceAccountName}/token`,
      { spec: audience === undefined ? {} : { audiences: [audience] } },
    );
    return status.token;
  }

  async function write(path: string, text: string): Promise<string> {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    return file;
  }

  let text = fill(
    (await admin.get<{ data: Files }>(`${core}/configmaps/${release}`)).data["attache.yaml"] ?? "",
  );
  for (const { name, mountPath } of pod.containers[0].volumeMounts) {
    const { sources = [] } = pod.volumes.find((one) => one.name === name)?.projected ?? {};
    for (const { secret, serviceAccountToken } of sources) {
      for (const { key, path } of secret?.items ?? []) {
        const { data } = await admin.get<{ data: Files }>(`${core}/secrets/${secret?.name ?? ""}`);
        await write(join(name, path), Buffer.from(data[key] ?? "", "base64").toString());
      }
      if (serviceAccountToken !== undefined)
        await write(join(name, serviceAccountToken.path), await token(serviceAccountToken.audience));
    }
    if (sources.length > 0) text = text.replaceAll(mountPath, join(folder, name));
  }
  const own = await token();
  const kubeconfig = await write("kubeconfig", kubeconfigOf({ ...access, token: own }, namespace));
  const config = await write("attache.yaml", text);
  const listen = ["server.listen", "server.probes", "console.listen"].flatMap((name) => [
    ...["--set", `${name}=127.0.0.1:0`],
  ]);
  const login = text.includes("login:")
    ? ["--set", `meshes.consul.login.bearerTokenFile=${await write("token", own)}`]
    : [];
  const running = start(["run", "--config", config, ...listen, ...login], { KUBECONFIG: kubeconfig });
  return Object.assign(running, {
    async [Symbol.asyncDispose]() {
      running.process.kill("SIGKILL");
      await running.finished;
      await rm(folder, { recursive: true });
    },
  });
}

type Files = Readonly<Record<string, string>>;

/** Lets a page's relative path of the chart lead to it. */
export function linkChart(folder: string): Promise<void> {
  return symlink(join(import.meta.dirname, "../../../deploy"), join(folder, "deploy"));
}
