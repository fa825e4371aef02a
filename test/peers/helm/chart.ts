import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { buildPeer } from "../build.ts";
import { pathOf } from "../../../src/kube/resources.ts";
import type { Resource, Rest } from "../kubernetes/rest.ts";

export const chart = join(import.meta.dirname, "../../../deploy/helm/attache");

/** A mesh, for tests of anything else: the chart refuses a release without one. */
export const anyMesh = {
  consul: {
    enabled: true,
    addresses: ["consul:8502"],
    serviceAccountLogin: { authMethod: "kubernetes" },
  },
};

/** What the chart renders, by the real helm; CRDs are not among it. @throws Error with what helm says */
export async function render(release: string, namespace: string, values: object): Promise<Resource[]> {
  return template(release, namespace, { meshes: anyMesh, ...values });
}

/** The same for exactly these values over the files of the chart's folder. */
export async function template(
  release: string,
  namespace: string,
  values: object,
  files: readonly string[] = [],
): Promise<Resource[]> {
  return objectsOf(await templateText({ release, namespace, values, files }));
}

export interface Rendering {
  readonly release?: string;
  readonly namespace?: string;
  readonly values: object;
  readonly files?: readonly string[];
  /** Further flags of `helm template`. */
  readonly flags?: readonly string[];
  readonly by?: Helm;
}

/** The versions of helm that the chart is for, by their programs. */
export const helms = ["helm", "helm3"] as const;
type Helm = (typeof helms)[number];

/** What `helm template` prints. */
export function templateText(rendering: Rendering): Promise<string> {
  const { release = "attache", namespace = "emissary", values, files = [], flags = [], by } = rendering;
  const given = files.flatMap((file) => ["-f", join(chart, file)]);
  return helm(["template", release, chart, "-n", namespace, ...flags, ...given, "-f", "-"], values, by);
}

export function objectsOf(yaml: string): Resource[] {
  return parseAllDocuments(yaml).flatMap((document) => (document.toJS() as Resource | null) ?? []);
}

/** What helm prints. @throws Error with what it says on standard error */
export async function helm(args: readonly string[], values: object = {}, by: Helm = "helm"): Promise<string> {
  const program = join(await buildPeer("helm"), by);
  const child = promisify(execFile)(program, args);
  child.child.stdin?.end(JSON.stringify(values));
  return (await child).stdout;
}

/** Of a kind, the one object, or that of the name. @throws AssertionError if there is none or several */
export function only(objects: readonly Resource[], kind: string, name?: string): Resource {
  const found = objects.filter(
    (object) => object["kind"] === kind && (name === undefined || object.metadata.name === name),
  );
  const [object] = found;
  assert.ok(object !== undefined && found.length === 1, `${kind} ${name ?? ""}: ${found.length}`);
  return object;
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
