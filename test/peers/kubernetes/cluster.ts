import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, inject } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { type KubeClient, type KubeClientOptions, openKubeClient } from "../../../src/kube/client.ts";
import { accessOf } from "../../../src/kube/access.ts";
import { buildPeer } from "../build.ts";
import { installDefinitions } from "./definitions.ts";
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from "./control-plane.ts";
import { kubeconfigOf } from "./kubeconfig.ts";
import { type Access, type Rest, rest } from "./rest.ts";

/** What a test sees of a cluster. */
export interface Cluster {
  /** Of the administrator. */
  readonly access: Access;
  readonly admin: Rest;
  /** attaché's own client, by default as the administrator; it is closed when the file's tests are over. */
  readonly api: (access?: Access, options?: Partial<KubeClientOptions & { namespace: string }>) => KubeClient;
  /**
   * A namespace of a fresh name, which goes when the file's tests are over: whatever is in it is the test's
   * own.
   */
  readonly namespace: () => Promise<string>;
  /** A ServiceAccount that may do exactly what `rules` say, there and nowhere else, and a token of it. */
  readonly serviceAccount: (
    namespace: string,
    name: string,
    rules: readonly Rule[],
    options?: Where,
  ) => Promise<Account>;
  /** Runs the real one as the administrator. @throws Error with its standard error. */
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
}

/** With servers that the test may stop. */
export type OwnCluster = Cluster & ControlPlane;

/** As in a Role. */
export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

export interface Where {
  /**
   * The namespaces in which the rules hold, by default the account's own; `*`: everywhere, by a ClusterRole.
   */
  readonly in?: readonly string[] | "*";
  /** Rules that hold everywhere besides. */
  readonly clusterWide?: readonly Rule[];
}

export interface Account {
  readonly access: Access;
  /** Path of a file for this account in its namespace, which goes when the file's tests are over. */
  readonly kubeconfig: string;
  /** A further token; the API server gives none that lives less than ten minutes. */
  readonly token: (expirationSeconds?: number) => Promise<string>;
}

const undo: (() => PromiseLike<unknown>)[] = [];
afterAll(async () => {
  for (const step of undo.reverse()) await step();
});

let shared: Promise<Cluster> | undefined;

/** The cluster that all test files share; the run starts it at the first request. */
export function cluster(): Promise<Cluster> {
  shared ??= (async () => {
    const answer = await fetch(inject("sharedCluster"));
    if (!answer.ok) throw new Error(await answer.text());
    const access = (await answer.json()) as Access;
    const admin = rest(access);
    undo.push(() => admin[Symbol.asyncDispose]());
    return clusterOf(access, admin);
  })();
  return shared;
}

/**
 * One of the test's own, whose servers it may stop: it takes seven seconds to start, so take the shared one
 * otherwise.
 */
export async function startCluster(options?: ControlPlaneOptions): Promise<OwnCluster> {
  const plane = await startControlPlane(options);
  await installDefinitions(plane.admin);
  return { ...plane, ...(await clusterOf(plane.access, plane.admin)) };
}

async function clusterOf(access: Access, admin: Rest): Promise<Cluster> {
  const programs = await buildPeer("kubernetes");
  const folder = await mkdtemp(join(tmpdir(), "attache-cluster-"));
  undo.push(() => rm(folder, { recursive: true }));
  const adminFile = join(folder, "admin.kubeconfig");
  await writeFile(adminFile, kubeconfigOf(access));

  return {
    access,
    admin,

    api({ server, ca, token } = access, { namespace = "default", clock = systemClock, ...options } = {}) {
      const principal = { server, namespace, ca: { text: ca }, token: { text: token } };
      const api = openKubeClient(accessOf(principal, clock), {
        userAgent: "attache/tests",
        clock,
        ...options,
      });
      undo.push(() => api[Symbol.asyncDispose]());
      return api;
    },

    async namespace() {
      const { metadata } = await admin.create("/api/v1/namespaces", { metadata: { generateName: "test-" } });
      // By then the servers of `startCluster` may be gone.
      undo.push(() => admin.delete(`/api/v1/namespaces/${metadata.name}`).catch(() => undefined));
      return metadata.name;
    },

    async serviceAccount(namespace, name, rules, { in: where = [namespace], clusterWide = [] } = {}) {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
      await admin.create(path, { metadata: { name } });
      await grant(admin, { namespace, name }, rules, where);
      if (clusterWide.length > 0) await grant(admin, { namespace, name }, clusterWide, "*");
      const token = async (expirationSeconds = 3600) => {
        const { status } = await admin.create<{ status: { token: string } }>(`${path}/${name}/token`, {
          spec: { expirationSeconds },
        });
        return status.token;
      };
      const own = { ...access, token: await token() };
      const kubeconfig = join(folder, `${namespace}-${name}.kubeconfig`);
      await writeFile(kubeconfig, kubeconfigOf(own, namespace));
      return { access: own, kubeconfig, token };
    },

    async kubectl(...args) {
      const { stdout } = await promisify(execFile)(join(programs, "kubectl"), args, {
        env: { KUBECONFIG: adminFile, HOME: folder },
      });
      return stdout;
    },
  };
}

interface AccountName {
  readonly namespace: string;
  readonly name: string;
}

async function grant(
  admin: Rest,
  { namespace, name }: AccountName,
  rules: readonly Rule[],
  where: readonly string[] | "*",
): Promise<void> {
  const rbac = "/apis/rbac.authorization.k8s.io/v1";
  const metadata = { name: `${namespace}-${name}` };
  const binding = (kind: "Role" | "ClusterRole") => ({
    metadata,
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind, name: metadata.name },
    subjects: [{ kind: "ServiceAccount", namespace, name }],
  });
  if (where === "*") {
    await admin.create(`${rbac}/clusterroles`, { metadata, rules });
    await admin.create(`${rbac}/clusterrolebindings`, binding("ClusterRole"));
    return;
  }
  for (const one of where) {
    await admin.create(`${rbac}/namespaces/${one}/roles`, { metadata, rules });
    await admin.create(`${rbac}/namespaces/${one}/rolebindings`, binding("Role"));
  }
}
