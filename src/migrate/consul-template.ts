import { fieldsOf, listOf, textOf } from "../emissary/fields.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { consulValues } from "./consul.ts";
import type { Fields, Given } from "./given.ts";
import {
  allTextOf,
  configurationIn,
  endOf,
  feeds,
  problemIn,
  type Program,
  programsIn,
  type ProgramText,
} from "./programs.ts";
import type { Setup, SetupValues } from "./setup.ts";
import { environmentOf } from "./workload.ts";

/** A template and what becomes of it. */
interface Template {
  readonly text: string;
  readonly destination: string;
}

interface Configuration {
  readonly text: ProgramText;
  readonly fields: Fields;
}

/** consul-template, whose templates with `caLeaf` feed Emissary: an identity for each service that they name. */
export function consulTemplates(objects: readonly Given[], problems: Problem[]): Setup[] {
  return programsIn(objects, /consul-template/).flatMap((program) => {
    const services = [...new Set(program.texts.flatMap(({ text }) => servicesIn(text)))];
    for (const text of program.texts.filter((one) => /\bcaLeaf\b(?!\s*\\?")/.test(one.text))) {
      const message = 'the name of a service is computed: write it there, e.g. `caLeaf "edge"`';
      problems.push(problemIn(text, "caLeaf", message));
    }
    if (services.length === 0) return [];
    const configurations = program.texts
      .filter(({ text }) => /^\s*(template|consul)\b[\s=]*\{/m.test(text))
      .map((text) => ({ text, fields: configurationIn(text, problems) }));
    const templates = configurations.flatMap(({ fields }) => templatesIn(fields, program));
    const values = valuesOf(program, configurations, problems);
    return services.map((service) => {
      const own = templates.filter(({ text }) => servicesIn(text).includes(service));
      const files = own.map(({ destination }) => destination);
      const text = services.length === 1 ? allTextOf(program) : own.map((one) => one.text).join("\n");
      return {
        what: `consul-template for the service ${service}`,
        workload: program.workload,
        values,
        source: { consul: { service } },
        feeding: `one of its files (${files.join(", ")}), or a Secret that its templates or commands name`,
        feeds: feeds(program, files, text),
        ...endOf(program.workload),
      };
    });
  });
}

/** Also in a string of HCL. */
function servicesIn(text: string): string[] {
  return [...text.matchAll(/\bcaLeaf\s*\\?"([^"\\]+)/g)].map(([, name = ""]) => name);
}

function templatesIn({ template }: Fields, { texts }: Program): Template[] {
  return listOf([template].flat()).map((fields) => {
    const source = textOf(fields["source"]).split("/").at(-1);
    const contents = textOf(fields["contents"]) || (texts.find(({ key }) => key === source)?.text ?? "");
    const text = [contents, JSON.stringify([fields["command"], fields["exec"]])].join("\n");
    return { text, destination: textOf(fields["destination"]) };
  });
}

const known: ReadonlySet<string> = new Set(["address", "ssl", "retry", "transport"]);

/** Its `consul` block, its flag and its variables (docs/configuration.md of hashicorp/consul-template). */
function valuesOf(
  { workload }: Program,
  configurations: readonly Configuration[],
  problems: Problem[],
): SetupValues {
  const [found] = configurations.filter(({ fields }) => fields["consul"] !== undefined);
  const consul = fieldsOf(found?.fields["consul"]);
  for (const [key, value] of Object.entries(consul))
    if (found !== undefined && !known.has(key) && value !== "")
      problems.push(
        problemIn(
          found.text,
          `consul.${key}`,
          "does not carry over: set CONSUL_HTTP_TOKEN or another variable of Consul in its container in place of it, from a Secret",
        ),
      );
  const flag = [workload.container["command"], workload.container["args"]].flat().join(" ");
  const variables = environmentOf(workload);
  const [, flagged = ""] = /-consul-addr[= ](\S+)/.exec(flag) ?? [];
  const address =
    flagged || textOf(consul["address"]) || (variables.get("CONSUL_HTTP_ADDR")?.value ?? "127.0.0.1:8500");
  const [, scheme, host = "", port = "8500"] = /^(https?:\/\/)?(.*?)(?::(\d+))?$/.exec(address) ?? [];
  const ssl = fieldsOf(consul["ssl"]);
  const files = {
    caFile: ssl["ca_cert"],
    caPath: ssl["ca_path"],
    certFile: ssl["cert"],
    keyFile: ssl["key"],
  };
  const tls = Object.entries({
    ...files,
    serverName: ssl["server_name"],
    insecureSkipVerify: ssl["verify"] === false || undefined,
  }).filter(([, value]) => value !== undefined && value !== "");
  const isTls =
    scheme === "https://" ||
    ssl["enabled"] === true ||
    /^(1|t|true)$/i.test(variables.get("CONSUL_HTTP_SSL")?.value ?? "");
  const more = {
    settings: tls.length > 0 ? { tls: Object.fromEntries(tls) } : {},
    files: Object.values(files).map(textOf),
  };
  return consulValues(workload, { host, port, isTls, more }, problems);
}
