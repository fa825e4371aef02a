import { dnsLabel } from "../api/names.ts";
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
  /** Where it stands in its pod: a sidecar of Kubernetes itself is an init container. */
  readonly list: "containers" | "initContainers";
  /** Of a part of the container. */
  readonly path: (...path: readonly PropertyKey[]) => readonly PropertyKey[];
  /** Whether its pod has no other container, and so ends with it. */
  readonly isAlone: boolean;
}

export function workloadsOf(objects: readonly Given[]): Workload[] {
  return objects
    .filter((one) => workloadKinds.some((kind) => kind === one.kind) && !isOwned(one))
    .flatMap((given) => {
      const above = given.kind === "Pod" ? [] : ["spec", "template"];
      const template = above.reduce((fields, key) => fieldsOf(fields[key]), given.object);
      const { labels, annotations } = fieldsOf(template["metadata"]);
      const pod = fieldsOf(template["spec"]);
      const of = (list: Workload["list"]) =>
        listOf(pod[list]).map((container, index): Workload => ({
          given,
          labels: fieldsOf(labels),
          annotations: fieldsOf(annotations),
          pod,
          container,
          list,
          path: (...path) => [...above, "spec", list, index, ...path],
          isAlone: list === "containers" && listOf(pod["containers"]).length === 1,
        }));
      const sidecars = of("initContainers").filter(
        ({ container }) => container["restartPolicy"] === "Always",
      );
      return [...of("containers"), ...sidecars];
    });
}

/** A Pod of a Deployment or the like, which is given, too, or cannot be stopped. */
function isOwned({ kind, object }: Given): boolean {
  const { ownerReferences } = fieldsOf(object["metadata"]);
  return kind === "Pod" && listOf(ownerReferences).some(({ controller }) => controller === true);
}

/** What keeps the container of a set-up from being read, or from being named in a command. */
export function unreadable({ given, container, path }: Workload): Problem[] {
  const { name, envFrom } = container;
  const noLists = ["env", "envFrom", "volumeMounts"].filter((key) => !Array.isArray(container[key] ?? []));
  return [
    ...noLists.map((key) => problemAt(given, path(key), "is no list: write it as Kubernetes has it")),
    ...(dnsLabel.safeParse(name).success
      ? []
      : [problemAt(given, path("name"), "is not a name that Kubernetes takes: correct it")]),
    ...(listOf(envFrom).length > 0
      ? [problemAt(given, path("envFrom"), "may set more variables: write them as `env`")]
      : []),
  ];
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

/** The variables of a container, by name; the last of a name counts, as for the kubelet, which also replaces `$(NAME)`. */
export function environmentOf({ given, container, path }: Workload): ReadonlyMap<string, Variable> {
  const variables = new Map<string, Variable>();
  for (const [index, entry] of listOf(container["env"]).entries()) {
    const field = textOf(fieldsOf(fieldsOf(entry["valueFrom"])["fieldRef"])["fieldPath"]);
    const written = field === "metadata.namespace" ? given.namespace : entry["value"];
    const value = typeof written === "string" ? expanded(written, variables) : undefined;
    variables.set(textOf(entry["name"]), {
      entry,
      path: path("env", index),
      ...(value !== undefined && { value }),
      ...(entry["valueFrom"] === undefined && written === undefined && { value: "" }),
      ...(field !== "" && { field }),
    });
  }
  return variables;
}

const reference = /\$\(([^)]+)\)/g;

/** With the values that stand here; a reference to another one stays. */
function expanded(text: string, variables: ReadonlyMap<string, Variable>): string {
  return text.replace(reference, (written, name: string) => variables.get(name)?.value ?? written);
}

/** The text of a variable, `undefined` for none. One that does not stand here, as a whole, is a problem. */
export function valueOf(
  { given }: Workload,
  variable: Variable | undefined,
  problems: Problem[],
): string | undefined {
  if (variable !== undefined && (variable.value === undefined || variable.value.includes("$(")))
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
