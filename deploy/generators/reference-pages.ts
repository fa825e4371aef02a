import { variables } from "../../src/config/overrides.ts";
import { definitions } from "../../src/registry/registry.ts";
import { type Permission, permissions } from "../../src/kube/permissions.ts";
import { definitions as metrics } from "../../src/telemetry/definitions.ts";
import { identityRules, specRules } from "../../src/api/rules.ts";
import { inputSchema, type JsonSchema, modesOf } from "./settings-schema.ts";

/** The page of MeshCertificate: every field of `spec` and `status`, and what holds between them. */
export function identityPage(schema: JsonSchema): string {
  const { spec = {}, status = {} } = schema.properties ?? {};
  return page(
    "MeshCertificate",
    "`attache.dev/v1alpha1`, namespaced. A workload identity, the mesh that issues it, and the objects that it is published as.",
    section("spec", table(rows(spec, "spec"))),
    section(
      "Validation rules",
      [...specRules, ...identityRules].map(({ message }) => `- ${message}`).join("\n"),
    ),
    section("status", table(rows(status, "status"))),
  );
}

/** The page of the settings: the core's, then each adapter's. */
export function settingsPage(schema: JsonSchema): string {
  const core = rows(schema, "").map((row) => ({ ...row, meaning: `${row.meaning}${variableOf(row.path)}` }));
  return page(
    "Settings",
    "attaché reads one YAML file, which `--config` or `ATTACHE_CONFIG` selects. An environment variable overrides a setting, and `--set PATH=VALUE` overrides both. " +
      "Paths are relative to the file. A duration is a number and a unit, or several: `500ms`, `90s`, `1.5h`, `1h30m`, `7d`.",
    section("Process and all meshes", table(core)),
    ...Object.values(definitions).map(({ kind, settings }) =>
      section(
        `Meshes with \`adapter: ${kind}\``,
        [
          `[The page of the adapter](../../adapters/${kind}/README.md) explains the modes.`,
          ...modesOf(inputSchema(settings)).map((mode) => modeText(mode)),
        ].join("\n\n"),
      ),
    ),
  );
}

function modeText(schema: JsonSchema): string {
  const mode = schema.properties?.["mode"]?.const;
  const lines = table(rows(schema, "meshes.NAME"));
  return mode === undefined ? lines : `### Mode \`${mode}\`\n\n${lines}`;
}

/** The page of permissions: what attaché may do in a cluster, and why. */
export function permissionsPage(): string {
  const line = ({ group, resource, subresource, verbs, where, why }: Permission) =>
    `| \`${[resource, subresource].filter(Boolean).join("/")}${group === "" ? "" : `.${group}`}\` | ${verbs.join(", ")} | ${places[where]} | ${why} |`;
  return page(
    "Permissions",
    "All permissions that attaché needs, as the Roles of the chart grant them. `attache doctor` reports missing ones. An adapter that creates tokens of ServiceAccounts also needs " +
      "`create` on `serviceaccounts/token`, by name. The `istio` adapter in mode `istiod` needs `get`, `list` and `watch` on the ConfigMap with its roots, by name, " +
      "in attaché's own namespace. The chart grants both for its `meshes` and `identities`.",
    ["| resource | verbs | where | why |", "|---|---|---|---|", ...permissions.map(line)].join("\n"),
  );
}

/** The page of metrics: each with its type, its labels and its meaning. */
export function metricsPage(): string {
  const line = ([name, { type, labels, help }]: [string, (typeof metrics)[keyof typeof metrics]]) =>
    `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help.replace(/<\w+>/g, "`$&`")} |`;
  return page(
    "Metrics",
    "[Metrics and probes](../metrics.md) explains how they are served. Each series also has the label `installation`, as in the settings.",
    [
      "| metric | type | labels | what it says |",
      "|---|---|---|---|",
      ...Object.entries(metrics).map(line),
    ].join("\n"),
  );
}

const places = {
  acting: "each namespace that attaché acts in",
  consumers: "the whole cluster; with `consumers.clusterWide: false` each namespace that attaché acts in",
  touches: "the same, if an Emissary has `touchMappings: true`",
  own: "attaché's own namespace",
  emissary: "the namespace of each Emissary under `emissary:`",
  console: "the whole cluster, with `console.auth: true`",
} as const;

interface Row {
  readonly path: string;
  readonly type: string;
  readonly fallback: string;
  readonly meaning: string;
}

function rows(schema: JsonSchema, path: string): Row[] {
  const { properties, additionalProperties } = schema;
  if (properties !== undefined) {
    return Object.entries(properties).flatMap(([name, inner]) =>
      rows(inner, path === "" ? name : `${path}.${name}`),
    );
  }
  if (typeof additionalProperties === "object" && additionalProperties.properties !== undefined) {
    return rows(additionalProperties, `${path}.NAME`);
  }
  if (schema.items?.properties !== undefined) {
    const inner = rows(schema.items, `${path}[]`);
    return schema.description === undefined ? inner : [row(schema, path), ...inner];
  }
  return [row(schema, path)];
}

function row(schema: JsonSchema, path: string): Row {
  const fallback = schema.default === undefined ? "" : `\`${JSON.stringify(schema.default)}\``;
  return { path, type: typeOf(schema), fallback, meaning: schema.description ?? "" };
}

function typeOf({ type = "any", const: constant, enum: values, items }: JsonSchema): string {
  if (constant !== undefined) return `\`${constant}\``;
  if (values !== undefined) return values.map((value) => `\`${String(value)}\``).join(", ");
  return items === undefined ? type : `list of ${typeOf(items)}`;
}

/** If there is one. */
function variableOf(path: string): string {
  const [name] = [...variables()].find(([, parts]) => parts.join(".") === path) ?? [];
  return name === undefined ? "" : ` \`${name}\``;
}

function page(title: string, introduction: string, ...sections: readonly string[]): string {
  return `# ${title}\n\n<!-- Generated by \`npm run generate\`. -->\n\n${introduction}\n\n${sections.join("\n\n")}\n`;
}

function section(title: string, text: string): string {
  return `## ${title}\n\n${text}`;
}

function table(lines: readonly Row[]): string {
  return [
    "| field | type | default | meaning |",
    "|---|---|---|---|",
    ...lines.map(
      ({ path, type, fallback, meaning }) => `| \`${path}\` | ${type} | ${fallback} | ${meaning} |`,
    ),
  ].join("\n");
}
