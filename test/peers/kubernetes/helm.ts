import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { buildPeer } from "../build.ts";
import { pathOf } from "../../../src/kube/resources.ts";
import type { Resource, Rest } from "./rest.ts";

const chart = join(import.meta.dirname, "../../../deploy/helm/attache");

/** What the chart renders, by the real helm; CRDs are not among it. @throws Error with what helm says */
export async function render(release: string, namespace: string, values: object): Promise<Resource[]> {
  const helm = join(await buildPeer("helm"), "helm");
  const child = promisify(execFile)(helm, ["template", release, chart, "-n", namespace, "-f", "-"]);
  child.child.stdin?.end(JSON.stringify(values));
  const { stdout } = await child;
  return parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Resource | null) ?? []);
}

/** Applies what the chart renders, as Helm would; the result removes what no namespace holds. */
export async function applyChart(admin: Rest, objects: readonly Resource[]): Promise<() => Promise<void>> {
  for (const object of objects) await admin.apply(pathOfObject(object), object);
  return async () => {
    for (const object of objects) if (!hasNamespace(object)) await admin.delete(pathOfObject(object));
  };
}

const clusterScoped = new Set([
  "ValidatingAdmissionPolicy",
  "ValidatingAdmissionPolicyBinding",
  "ClusterRole",
  "ClusterRoleBinding",
]);

function hasNamespace({ kind }: Resource): boolean {
  return !clusterScoped.has(String(kind));
}

function pathOfObject(object: Resource): string {
  const [group, version = ""] = String(object["apiVersion"]).split("/") as [string, string?];
  const kind = String(object["kind"]);
  const plural = kind.endsWith("y") ? `${kind.slice(0, -1)}ies` : `${kind}s`;
  const resource =
    version === ""
      ? { group: "", version: group, plural: plural.toLowerCase(), kind }
      : { group, version, plural: plural.toLowerCase(), kind };
  const { name, namespace } = object.metadata as { name: string; namespace?: string };
  return pathOf(resource, { namespace, name });
}
