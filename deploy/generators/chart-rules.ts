import { type Permission, permissions } from "../../src/kube/permissions.ts";

/** The rules of the chart's Roles, as templates that rbac.yaml includes. */
export function chartRules(): string {
  const templates = {
    rules: "acting",
    consumerRules: "consumers",
    touchRules: "touches",
    ownRules: "own",
    emissaryRules: "emissary",
  } as const;
  return [
    "{{- /* Generated from src/kube/permissions.ts by `npm run generate`. */}}",
    ...Object.entries(templates).map(([name, where]) => template(name, where)),
  ].join("\n");
}

/** RBAC checks a create before it knows the name, and no list or watch has one. */
const unnameable: ReadonlySet<string> = new Set(["create", "list", "watch"]);

function template(name: string, where: Permission["where"]): string {
  const rules = permissions.filter((permission) => permission.where === where).flatMap(rulesOf);
  return `{{- define "attache.${name}" }}\n${rules.join("\n")}\n{{- end }}`.concat(
    where === "emissary" ? "\n" : "",
  );
}

function rulesOf({ group, resource, subresource, verbs, where, why, isNameable }: Permission): string[] {
  const named = subresource === undefined ? resource : `${resource}/${subresource}`;
  const rule = (granted: readonly string[], ...more: readonly string[]) =>
    [
      `  # ${why}`,
      `  - apiGroups: [${group === "" ? '""' : group}]`,
      `    resources: [${named}]`,
      ...more,
      `    verbs: [${granted.join(", ")}]`,
    ].join("\n");
  const byName = (names: string) => [
    rule(verbs.filter((verb) => unnameable.has(verb))),
    rule(
      verbs.filter((verb) => !unnameable.has(verb)),
      `    resourceNames: ${names}`,
    ),
  ];
  if (where === "own") return byName('[attache-{{ include "attache.installation" .root }}]');
  if (isNameable !== true) return [rule(verbs)];
  const names = `{{ toJson .names.${resource} }}`;
  return ["{{- if .names }}", ...byName(names), "{{- else }}", rule(verbs), "{{- end }}"];
}
