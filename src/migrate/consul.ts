import { textOf } from "../emissary/fields.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { type Fields, problemAt } from "./given.ts";
import type { SetupValues } from "./setup.ts";
import { environmentOf, type Workload, volumesFor } from "./workload.ts";

/** Where a program reaches Consul's HTTP API; `host` may name variables as the kubelet expands them. */
export interface ConsulAddress {
  readonly host: string;
  readonly port: string;
  readonly isTls: boolean;
  /** Further settings of the mesh, and the files that they name. */
  readonly more?: { readonly settings: Fields; readonly files: readonly string[] };
}

/** Variables of Consul's own clients that are secret, and must not stand in values. */
const secrets: ReadonlySet<string> = new Set(["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH"]);

/**
 * With them attaché reaches the same Consul with the same rights: servers of consul-k8s over gRPC, an agent
 * over its HTTP API, as before.
 */
export function consulValues(
  workload: Workload,
  { host, port, isTls, more }: ConsulAddress,
  problems: Problem[],
): SetupValues {
  const variables = [...environmentOf(workload)].filter(([name]) => /^CONSUL_(?!HTTP_ADDR$)/.test(name));
  if (/^(localhost|127\.)/.test(host)) {
    const message = `asks a Consul agent in its own pod (${host}): have it ask one that attaché's pods reach, too`;
    problems.push(problemAt(workload.given, workload.path(), message));
  }
  for (const [name, { entry, path }] of variables)
    if (secrets.has(name) && textOf(entry["value"]) !== "") {
      const message = `${name} stands here in plain text: put it into a Secret, and name that with valueFrom.secretKeyRef`;
      problems.push(problemAt(workload.given, path, message));
    }
  const named = [...variables.map(([, { value = "" }]) => value), ...(more?.files ?? [])];
  const files = volumesFor(workload, named);
  const servers = serversOf(host, workload.given.namespace);
  const address = `${isTls ? "https" : "http"}://${host}:${port}`;
  const isExpanded = address.includes("$(");
  const mesh =
    servers === undefined
      ? { mode: "http", ...(!isExpanded && { address }) }
      : { release: { ...servers, ...(!isTls && { tls: false }) } };
  const env = [
    ...(servers === undefined && isExpanded
      ? [...referenced(workload, address), { name: "CONSUL_HTTP_ADDR", value: address }]
      : []),
    ...variables.map(([, { entry }]) => entry),
  ];
  return {
    meshes: { consul: { enabled: true, ...mesh, ...more?.settings } },
    ...(env.length > 0 && { env }),
    ...(files.volumes.length > 0 && files),
  };
}

/** `NAME-server` of consul-k8s, or one of its pods: `NAME-server-0.NAME-server.NAMESPACE.svc`. */
function serversOf(host: string, own: string): { name: string; namespace: string } | undefined {
  const [pod, ...rest] = host.split(".");
  const labels = rest[0]?.endsWith("-server") === true ? rest : [pod, ...rest];
  const [service = "", namespace = own, svc = "svc"] = labels;
  const name = /^([a-z0-9-]+)-server$/.exec(service)?.[1];
  return name === undefined || svc !== "svc" ? undefined : { name, namespace };
}

/** The variables that `text` names, and those that they name, in their order. */
function referenced(workload: Workload, text: string): Fields[] {
  const named = (one: string) => [...one.matchAll(/\$\(([^)]+)\)/g)].map(([, name = ""]) => name);
  const wanted = new Set(named(text));
  const entries: Fields[] = [];
  for (const [name, { entry }] of [...environmentOf(workload)].toReversed()) {
    if (!wanted.has(name)) continue;
    entries.unshift(entry);
    for (const one of named(textOf(entry["value"]))) wanted.add(one);
  }
  return entries;
}
