import { type Permission, permissions } from "../../src/kube/permissions.ts";

/** The rules of the chart's Roles, as templates that rbac.yaml includes. */
export function chartRules(): string {
  const templates = {
    rules: "acting",
    consumerRules: "consumers",
    ownRules: "own",
    emissaryRules: "emissary",
  } as const;
  return [
    "{{- /* Generated from src/kube/permissions.ts by `npm run generate`. */}}",
    ...Object.entries(templates).map(([name, where]) => template(name, where)),
  ].join("\n");
}

function template(name: string, where: Permission["where"]): string {
  const rules = permissions.filter((permission) => permission.where === where).flatMap(rulesOf);
  return `{{- define "attache.${name}" }}\n${rules.join("\n")}\n{{- end }}`.concat(
    where === "emissary" ? "\n" : "",
  );
}

function rulesOf({ group, resource, subresource, verbs, where, why }: Permission): string[] {
  const named = subresource === undefined ? resource : `${resource}/${subresource}`;
  const rule = (granted: readonly string[], ...more: readonly string[]) =>
    [
      `  # ${why}`,
      `  - apiGroups: [${group === "" ? '""' : group}]`,
      `    resources: [${named}]`,
      ...more,
      `    verbs: [${granted.join(", ")}]`,
    ].join("\n");
  if (where !== "own") return [rule(verbs)];
  // A create cannot be granted by name: the API server checks it before it knows the name.
  return [
    rule(verbs.filter((verb) => verb === "create")),
    rule(
      verbs.filter((verb) => verb !== "create"),
      '    resourceNames: [attache-{{ include "attache.installation" . }}]',
    ),
  ];
}
