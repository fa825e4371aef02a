import { textOf } from "../emissary/fields.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { consulValues } from "./consul.ts";
import type { Given } from "./given.ts";
import type { Setup } from "./setup.ts";
import { environmentOf, valueOf, type Workload, workloadsOf } from "./workload.ts";

/**
 * Emissary's Consul connector, by its program and its variables (datawire/ambassador, `cmd/consul_connect_integration`;
 * docs/yaml/consul/ambassador-consul-connector.yaml of emissary-ingress/emissary).
 */
export function consulConnectors(objects: readonly Given[], problems: Problem[]): Setup[] {
  return workloadsOf(objects)
    .filter(isConnector)
    .map((workload) => setupOf(workload, problems));
}

function isConnector(workload: Workload): boolean {
  const { image, command, args } = workload.container;
  const program = /consul[_-]connect[_-]integration/;
  const isNamed = [image, command, args].flat().some((one) => program.test(textOf(one)));
  const variables = environmentOf(workload);
  return isNamed || variables.has("_CONSUL_HOST") || variables.has("_AMBASSADOR_TLS_SECRET_NAME");
}

function setupOf(workload: Workload, problems: Problem[]): Setup {
  const { given } = workload;
  const variables = environmentOf(workload);
  const value = (name: string) => valueOf(workload, variables.get(name), problems);
  const id = value("_AMBASSADOR_ID");
  const service = id === undefined ? "ambassador" : `ambassador-${id}`;
  const name = value("_AMBASSADOR_TLS_SECRET_NAME") ?? `${service}-consul-connect`;
  const namespace = value("_AMBASSADOR_TLS_SECRET_NAMESPACE") ?? given.namespace;
  const named = variables.get("_CONSUL_HOST");
  const host =
    named?.field !== undefined
      ? "$(_CONSUL_HOST)"
      : named?.value?.includes("$(") === true
        ? named.value
        : (value("_CONSUL_HOST") ?? "127.0.0.1");
  const port = value("_CONSUL_PORT") ?? "8500";
  const isTls = port === "8501" || /^(1|t|true)$/i.test(value("CONSUL_HTTP_SSL") ?? "");
  return {
    what: "Emissary's Consul connector",
    workload,
    values: consulValues(workload, { host, port, isTls }, problems),
    source: { consul: { service } },
    feeding: `its Secret ${namespace}/${name}`,
    feeds: ({ secret }) => secret?.name === name && secret.namespace === namespace,
  };
}
