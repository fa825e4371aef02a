import { fieldsOf, listOf, textOf } from "../emissary/fields.ts";
import type { Problem } from "../text/yaml/document-error.ts";
import { consulValues } from "./consul.ts";
import { type Fields, type Given, problemAt } from "./given.ts";
import {
  allTextOf,
  configurationIn,
  endOf,
  feeds,
  flagsOf,
  problemIn,
  type Program,
  programsIn,
  type ProgramText,
  wordsOf,
} from "./programs.ts";
import type { Setup, SetupValues } from "./setup.ts";
import { environmentOf } from "./workload.ts";

/** A template and what becomes of it. */
interface Template {
  /** What it renders; `undefined` where that is not given. */
  readonly contents: string | undefined;
  /** With the commands that run after it. */
  readonly text: string;
  readonly source: string;
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
      .filter(({ text }) => /(?:^|[{,])\s*"?(?:template|consul)"?[\s=:]*[[{]/m.test(text))
      .map((text) => ({ text, fields: configurationIn(text, problems) }));
    const templates = [
      ...configurations.flatMap(({ fields }) => templatesIn(fields, program)),
      ...flaggedTemplates(program),
    ];
    problems.push(...endingWithIt(program, configurations, templates));
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
    const source = textOf(fields["source"]);
    const contents = textOf(fields["contents"]) || sourceIn(texts, source);
    const text = [contents, JSON.stringify([fields["command"], fields["exec"]])].join("\n");
    return { contents, text, source, destination: textOf(fields["destination"]) };
  });
}

/** `-template SOURCE:DESTINATION:COMMAND`. */
function flaggedTemplates(program: Program): Template[] {
  return flagsOf(wordsOf(program), "template").map((flag) => {
    const [source = "", destination = "", ...command] = flag.split(":");
    const contents = sourceIn(program.texts, source);
    return { contents, text: [contents, ...command].join("\n"), source, destination };
  });
}

function sourceIn(texts: readonly ProgramText[], path: string): string | undefined {
  return texts.find(({ key }) => key === path.split("/").at(-1))?.text;
}

/** What else it does, and would no longer be done. */
function endingWithIt(
  { workload }: Program,
  configurations: readonly Configuration[],
  templates: readonly Template[],
): Problem[] {
  const others = templates.flatMap(({ contents, source, destination }) => {
    if (contents === undefined) return [`its template ${source} is not given: give it, too`];
    if (/\bca(?:Leaf|Roots)\b/.test(contents)) return [];
    return [
      `also renders ${destination}, which would end with it: leave that to a consul-template of its own`,
    ];
  });
  const children = configurations
    .filter(({ fields: { exec } }) => listOf([exec].flat()).some(({ command }) => command !== undefined))
    .map((one) =>
      problemIn(one.text, "exec", "its child would end with it: run that in a container of its own first"),
    );
  return [...others.map((message) => problemAt(workload.given, workload.path(), message)), ...children];
}

const known: ReadonlySet<string> = new Set(["address", "ssl", "retry", "transport"]);
const knownOfTls: ReadonlySet<string> = new Set([
  ...["enabled", "verify", "cert", "key", "ca_cert", "ca_path", "server_name"],
]);

const lost =
  "does not carry over: set CONSUL_HTTP_TOKEN or another variable of Consul in its container in place of it, from a Secret";

/** Its `consul` block, its flag and its variables (docs/configuration.md of hashicorp/consul-template). */
function valuesOf(
  program: Program,
  configurations: readonly Configuration[],
  problems: Problem[],
): SetupValues {
  const { workload } = program;
  const [found, another] = configurations.filter(({ fields }) => fields["consul"] !== undefined);
  const consul = fieldsOf(found?.fields["consul"]);
  const ssl = fieldsOf(consul["ssl"]);
  const unknown = [
    ...(another === undefined ? [] : ["consul, which stands in several files"]),
    ...(typeof found?.fields["consul"] === "string" ? ["consul, which is no block"] : []),
    ...Object.entries(consul).flatMap(([key, value]) =>
      known.has(key) || value === "" ? [] : `consul.${key}`,
    ),
    ...Object.keys(ssl).flatMap((key) => (knownOfTls.has(key) ? [] : `consul.ssl.${key}`)),
  ];
  if (found !== undefined) for (const path of unknown) problems.push(problemIn(found.text, path, lost));
  const words = wordsOf(program);
  const flags = words.flatMap((word) => /^--?(consul-(?!addr|retry|transport)[\w-]+)/.exec(word)?.[1] ?? []);
  for (const flag of flags) problems.push(problemAt(workload.given, workload.path(), `-${flag}: ${lost}`));
  const variables = environmentOf(workload);
  const [flagged = ""] = flagsOf(words, "consul-addr");
  const address =
    flagged || textOf(consul["address"]) || (variables.get("CONSUL_HTTP_ADDR")?.value ?? "127.0.0.1:8500");
  const [, scheme, host = "", port = "8500"] = /^(https?:\/\/)?(.*?)(?::(\d+))?$/.exec(address) ?? [];
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
