import { type Permission, permissions } from "../../src/kube/permissions.ts";

/** The rules of the chart's Roles, as templates that rbac.yaml includes. */
export function chartRules(): string {
  const templates = {
    rules: "acting",
    consumerRules: "consumers",
    touchRules: "touches",
    ownRules: "own",
    emissaryRules: "emissary",
    consoleRules: "console",
  } as const;
  return [
    "{{- /* Generated from src/kube/permissions.ts by `npm run generate`. */}}",
    ...Object.entries(templates).map(([name, where]) => template(name, where)),
  ].join("\n");
}

/** RBAC checks a create before it knows the name, and no list or watch has one. */
const unnameable: ReadonlySet<string> = new Set(["create", "list", "watch"]);

function template(name: string, where: Permission["where"]): string {
  const groups = Map.groupBy(
    permissions.filter((permission) => permission.where === where),
    ({ group, verbs, why, isNameable }) => JSON.stringify([group, verbs, why, isNameable]),
  );
  const rules = [...groups.values()].flatMap((alike) => rulesOf(alike));
  return `{{- define "attache.${name}" }}\n${rules.join("\n")}\n{{- end }}`.concat(
    where === "emissary" ? "\n" : "",
  );
}

/** @param alike differ in their resource alone. */
function rulesOf(alike: readonly Permission[]): string[] {
  const [first] = alike;
  if (first === undefined) return [];
  const { group, resource, verbs, where, why, isNameable } = first;
  const named = alike.map((one) => [one.resource, one.subresource].filter(Boolean).join("/")).join(", ");
  const rule = (granted: readonly string[], names = "") =>
    `  - { apiGroups: [${group === "" ? '""' : group}], resources: [${named}], ${names}verbs: [${granted.join(", ")}] } # ${why}`;
  const byName = (names: string) => [
    rule(verbs.filter((verb) => unnameable.has(verb))),
    rule(
      verbs.filter((verb) => !unnameable.has(verb)),
      `resourceNames: ${names}, `,
    ),
  ];
  if (where === "own") return byName('[attache-{{ include "attache.installation" .root }}]');
  if (isNameable !== true) return [rule(verbs)];
  return [
    "{{- if .names }}",
    ...byName(`{{ toJson .names.${resource} }}`),
    "{{- else }}",
    rule(verbs),
    "{{- end }}",
  ];
}
