import { fieldsOf, listOf, textOf } from "../emissary/fields.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { type Fields, type Given, problemAt, workloadKinds } from "./given.ts";

/** A container of a Deployment or the like, and what it has of its pod. */
export interface Workload {
  readonly given: Given;
  readonly labels: Fields;
  readonly annotations: Fields;
  readonly pod: Fields;
  readonly container: Fields;
  /** Of a part of the container. */
  readonly path: (...path: readonly PropertyKey[]) => readonly PropertyKey[];
  /** Whether its pod has no other container, and so ends with it. */
  readonly isAlone: boolean;
}

export function workloadsOf(objects: readonly Given[]): Workload[] {
  return objects
    .filter(({ kind }) => workloadKinds.some((one) => one === kind))
    .flatMap((given) => {
      const above = given.kind === "Pod" ? [] : ["spec", "template"];
      const template = above.reduce((fields, key) => fieldsOf(fields[key]), given.object);
      const { labels, annotations } = fieldsOf(template["metadata"]);
      const pod = fieldsOf(template["spec"]);
      const containers = listOf(pod["containers"]);
      return containers.map((container, index) => ({
        given,
        labels: fieldsOf(labels),
        annotations: fieldsOf(annotations),
        pod,
        container,
        path: (...path) => [...above, "spec", "containers", index, ...path],
        isAlone: containers.length === 1,
      }));
    });
}

/** Whether it is an Emissary that reads only what has certain labels. */
export function selectsByLabel(given: Given): boolean {
  return workloadsOf([given]).some((one) => environmentOf(one).has(labelSelector));
}

/** The variable of Emissary, a label selector of Kubernetes. */
export const labelSelector = "AMBASSADOR_LABEL_SELECTOR";

/** Where the value comes from that a variable has when the pod runs. */
export interface Variable {
  readonly entry: Fields;
  readonly path: readonly PropertyKey[];
  /** Absent: known to the kubelet alone. */
  readonly value?: string;
  /** `status.hostIP` and the like. */
  readonly field?: string;
}

/** The variables of a container, by name; the last of a name counts, as for the kubelet. */
export function environmentOf({ given, container, path }: Workload): ReadonlyMap<string, Variable> {
  const entries = listOf(container["env"]).map((entry, index): [string, Variable] => {
    const field = textOf(fieldsOf(fieldsOf(entry["valueFrom"])["fieldRef"])["fieldPath"]);
    const value = field === "metadata.namespace" ? given.namespace : entry["value"];
    return [
      textOf(entry["name"]),
      {
        entry,
        path: path("env", index),
        ...(typeof value === "string" && { value }),
        ...(entry["valueFrom"] === undefined && value === undefined && { value: "" }),
        ...(field !== "" && { field }),
      },
    ];
  });
  return new Map(entries);
}

/** The text of a variable, `undefined` for none. One that does not stand here is a problem. */
export function valueOf(
  { given }: Workload,
  variable: Variable | undefined,
  problems: Problem[],
): string | undefined {
  if (variable !== undefined && variable.value === undefined)
    problems.push(
      problemAt(given, variable.path, "has a value that does not stand here: write it as `value`"),
    );
  return variable?.value === "" ? undefined : variable?.value;
}

/** The volumes that hold one of these paths in the container, and their mounts, as values of the chart. */
export function volumesFor({ pod, container }: Workload, paths: readonly string[]) {
  const volumeMounts = listOf(container["volumeMounts"]).filter(({ mountPath }) =>
    paths.some((path) => isBelow(path, textOf(mountPath))),
  );
  const names = new Set(volumeMounts.map(({ name }) => name));
  const volumes = listOf(pod["volumes"]).filter(({ name }) => names.has(name));
  return { volumes, volumeMounts };
}

export function isBelow(path: string, folder: string): boolean {
  const above = folder.replace(/\/+$/, "");
  return above !== "" && (path === above || path.startsWith(`${above}/`));
}
