import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, vi } from "vitest";
import type { Status } from "../../../src/api/status.ts";
import { pathOf, resources } from "../../../src/kube/resources.ts";
import { chart as ownChart } from "../helm/chart.ts";
import { deleteNamespace, rolledOut } from "./cluster.ts";
import type { Node } from "./node.ts";

/** attaché, installed by helm as `attache`. */
export interface Release {
  /** `install`, `upgrade` and more, with flags. @param values for the chart, or the name of an example, if the verb takes them */
  helm(verb: string, values?: object | string, ...flags: readonly string[]): Promise<string>;
  /** Waits until the status of a MeshCertificate satisfies a condition. */
  until(name: string, holds: (status: Status) => boolean | undefined): Promise<Status>;
  /** Waits until all replicas of the Deployment are of its latest generation, and Ready. */
  rolledOut(): Promise<void>;
  /** Uninstalls it, if it is there, and deletes its namespace. */
  remove(): Promise<void>;
  pods(): Promise<readonly Pod[]>;
  pod(name: string): Promise<Pod>;
  lease(): Promise<LeaseSpec>;
  /** Waits until a pod leads that is not about to end, and names it. */
  leader(): Promise<string>;
}

interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseTransitions?: number;
}

export interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly {
      readonly restartCount: number;
      readonly ready: boolean;
      readonly state: { readonly waiting?: { readonly reason: string; readonly message?: string } };
    }[];
  };
}

/** @param chart its folder; the repository's own by default */
export function releaseIn(node: Node, namespace: string, chart = ownChart): Release {
  async function pods(): Promise<readonly Pod[]> {
    const selector = "labelSelector=app.kubernetes.io%2Finstance%3Dattache";
    const { items } = await node.api.get<{ items: readonly Pod[] }>(
      `/api/v1/namespaces/${namespace}/pods?${selector}`,
    );
    return items;
  }

  async function lease(): Promise<LeaseSpec> {
    const path = pathOf(resources.leases, { namespace, name: "attache-attache" });
    return (await node.api.get<{ readonly spec: LeaseSpec }>(path)).spec;
  }

  async function helm(verb: string, values?: object | string, ...flags: readonly string[]): Promise<string> {
    const isExample = typeof values === "string";
    const file = isExample ? join(chart, "examples", `${values}.yaml`) : join(node.folder, "values.json");
    if (typeof values === "object") await writeFile(file, JSON.stringify(values));
    const given = values === undefined ? [] : [chart, "-f", file];
    return node.helm(verb, "attache", ...given, "-n", namespace, ...flags);
  }

  return {
    pods,
    lease,
    helm,
    async remove() {
      // attaché keeps what is in use.
      await node.kubectl("delete", "mappings", "--all", "-n", namespace);
      const path = pathOf(resources.meshCertificates, { namespace });
      const { items } = await node.api.get<{ items: { metadata: { name: string } }[] }>(path);
      const annotations = { "attache.dev/force-delete": "true" };
      for (const { metadata } of items)
        await node.api.patch(`${path}/${metadata.name}`, { metadata: { annotations } });
      await node.kubectl("delete", "meshcertificates", "--all", "-n", namespace, "--timeout=60s");
      await helm("uninstall", undefined, "--ignore-not-found", "--timeout=120s");
      await deleteNamespace(node, namespace);
    },
    pod: (name) => node.api.get(`/api/v1/namespaces/${namespace}/pods/${name}`),
    leader: () =>
      vi.waitFor(async () => {
        const { holderIdentity = "" } = await lease();
        const [name = ""] = holderIdentity.split("_");
        const living = (await pods()).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
        expect(living.map(({ metadata }) => metadata.name)).toContain(name);
        return name;
      }),
    until(name, holds) {
      return vi.waitFor(async () => {
        const path = pathOf(resources.meshCertificates, { namespace, name });
        const { status, body } = await node.api.call("GET", path);
        const said = (body as { readonly status?: Status }).status;
        if (status === 200 && said !== undefined && holds(said) === true) return said;
        throw new Error(`${JSON.stringify(body)}\n${JSON.stringify(await pods())}`);
      });
    },
    rolledOut: () => rolledOut(node, namespace, "deployment/attache"),
  };
}

export function isReady({ conditions }: Status): boolean {
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
