import { createReadStream } from "node:fs";
import { text } from "node:stream/consumers";
import { fieldsOf } from "../emissary/fields.ts";
import { hasCode } from "../kube/api-error.ts";
import { list } from "../kube/pages.ts";
import { apiVersionOf, type Resource, resources } from "../kube/resources.ts";
import { type Given, objectsOf, readObjects } from "../migrate/given.ts";
import { type Plan, planOf } from "../migrate/plan.ts";
import { selectsByLabel } from "../migrate/workload.ts";
import { consumerResources } from "../store/kubernetes/consumers.ts";
import { quoted } from "../text/quoted.ts";
import { writeYaml } from "../text/yaml/write.ts";
import { UsageError } from "./errors.ts";
import type { MigrateOptions } from "./options.ts";
import { clusterOf } from "./place.ts";

/**
 * Prints how to leave the set-up in `files`, or in a cluster, for attaché.
 * @throws DocumentError, UsageError, ApiError
 */
export async function migrate(files: readonly string[], options: MigrateOptions): Promise<void> {
  const given =
    files.length === 0
      ? await inCluster(options)
      : (await Promise.all(files.map((file) => inFile(file, options.namespace ?? "default")))).flat();
  process.stdout.write(printed[options.output](planOf(given, commandOf(files, options))));
}

const printed: Readonly<Record<MigrateOptions["output"], (plan: Plan) => string>> = {
  text: textOf,
  values: ({ values }) => writeYaml(values),
  yaml: ({ certificates }) => certificates.map(writeYaml).join("---\n"),
};

function textOf({ values, certificates, steps }: Plan): string {
  const cutOver = steps.map(({ title, run, see, back }, index) =>
    [
      `${index + 1}. ${title}.`,
      ...run,
      "   See that it worked:",
      ...see,
      ...(back.length === 0 ? ["   There is nothing to undo."] : ["   To go back:", ...back]),
    ]
      .map((line) => (/^(?:\d+\. | {3}\S)/.test(line) ? line : line.replace(/^/gm, "     ")))
      .join("\n"),
  );
  return [
    `# Helm values; -o values prints them alone.\n${writeYaml(values)}`,
    `# The MeshCertificates that the chart makes of them; -o yaml prints them alone.\n${certificates.map(writeYaml).join("---\n")}`,
    `# The cut-over. To undo a step, first undo those after it, the last one first.\n`,
    `${cutOver.join("\n\n")}\n`,
  ].join("\n");
}

/** As it stands in the printed steps. */
function commandOf(
  files: readonly string[],
  { kubeconfig, context, namespace, allNamespaces }: MigrateOptions,
): string {
  const flags = { "--kubeconfig": kubeconfig, "--context": context, "-n": namespace };
  const given = Object.entries(flags).flatMap(([flag, value]) => (value === undefined ? [] : [flag, value]));
  return ["attache", "migrate", ...files, ...given, ...(allNamespaces ? ["-A"] : [])].map(quoted).join(" ");
}

/** One more than a document may have, which is then refused. */
const maxBytes = 1024 * 1024 + 1;

async function inFile(file: string, namespace: string): Promise<Given[]> {
  const name = file === "-" ? "standard input" : file;
  const path = file === "-" ? "/dev/stdin" : file;
  const content = await text(createReadStream(path, { end: maxBytes })).catch((cause: unknown) => {
    throw new UsageError(`cannot read ${name}`, { cause });
  });
  return readObjects(content, name, namespace);
}

const apps = { group: "apps", version: "v1" };

/** Where the programs of a set-up are; elsewhere, Emissaries that select by labels count as well. */
const workloads: readonly Resource[] = [
  { ...apps, plural: "deployments", kind: "Deployment" },
  { ...apps, plural: "daemonsets", kind: "DaemonSet" },
  { ...apps, plural: "statefulsets", kind: "StatefulSet" },
];

/** A consumer in any namespace may name a TLSContext: none may be overlooked. */
const everywhere: readonly Resource[] = [
  resources.tlsContexts,
  ...Object.values(consumerResources),
  resources.services,
  resources.ingresses,
];

async function inCluster(options: MigrateOptions): Promise<Given[]> {
  await using place = await clusterOf(options, "migrate");
  const { api, namespace } = place;
  const read = async (resource: Resource, within: string | undefined): Promise<Given[]> => {
    const objects = await list(api, resource, { namespace: within }).catch((error: unknown) => {
      if (hasCode(error, "ATTACHE_KUBERNETES_KIND_UNKNOWN")) return [];
      throw error;
    });
    return objects.flatMap((one) => {
      const { name, namespace: own } = fieldsOf(fieldsOf(one)["metadata"]);
      const object = { ...one, kind: resource.kind, apiVersion: apiVersionOf(resource) };
      return objectsOf(object, "", () => `${resource.kind} ${String(own)}/${String(name)}`);
    });
  };
  const [running, ...others] = await Promise.all([
    Promise.all(workloads.map((resource) => read(resource, undefined))),
    read(resources.configMaps, namespace),
    ...everywhere.map((resource) => read(resource, undefined)),
  ]);
  const isMeant = (one: Given) =>
    namespace === undefined || one.namespace === namespace || selectsByLabel(one);
  return [...running.flat().filter(isMeant), ...others.flat()];
}
