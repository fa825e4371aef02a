import { z } from "zod";
import { apiVersion, kind } from "./mesh-certificate.ts";
import { identityRules } from "./rules.ts";
import { spec } from "./spec.ts";
import { status } from "./status.ts";

/**
 * The CustomResourceDefinition of MeshCertificate, from the one schema. Its OpenAPI part is structural, as
 * the API server demands
 * (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/).
 */
export function crd(): object {
  const [group = "", version = ""] = apiVersion.split("/");
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `meshcertificates.${group}` },
    spec: {
      group,
      scope: "Namespaced",
      names: {
        kind,
        listKind: `${kind}List`,
        plural: "meshcertificates",
        singular: "meshcertificate",
        shortNames: ["meshcert"],
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: "object",
              description:
                "A workload identity, the mesh that issues it, and the objects that it is published as.",
              required: ["spec"],
              "x-kubernetes-validations": identityRules.map(({ cel, message }) => ({ rule: cel, message })),
              properties: {
                apiVersion: { type: "string" },
                kind: { type: "string" },
                metadata: { type: "object" },
                spec: structural(z.toJSONSchema(spec, { io: "input" })),
                status: structural(z.toJSONSchema(status, { io: "input" })),
              },
            },
          },
        },
      ],
    },
  };
}

const columns = [
  { name: "Mesh", type: "string", jsonPath: ".status.mesh" },
  { name: "SPIFFE ID", type: "string", jsonPath: ".status.spiffeId" },
  { name: "Ready", type: "string", jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
  { name: "Reason", type: "string", jsonPath: '.status.conditions[?(@.type=="SourceReady")].reason' },
  { name: "Served", type: "string", jsonPath: '.status.conditions[?(@.type=="Served")].status' },
  { name: "Protected", type: "string", jsonPath: '.status.conditions[?(@.type=="Protected")].status' },
  { name: "Expires", type: "string", jsonPath: ".status.notAfter" },
  { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" },
];

type Node = Readonly<Record<string, unknown>>;

/** What JSON Schema knows and a structural schema must not have; `pattern` says what `format` would. */
const foreign: ReadonlySet<string> = new Set(["$schema", "propertyNames", "additionalProperties"]);

/** JSON Schema of zod as a structural schema: unknown fields are pruned there, not refused. */
function structural(node: Node): Node {
  const kept = Object.entries(node).filter(([keyword]) => !foreign.has(keyword));
  const own = Object.fromEntries(kept.map(([keyword, value]) => [keyword, convert(keyword, value)]));
  const { additionalProperties, properties } = node;
  if (properties !== undefined || additionalProperties === undefined) return own;
  return isEmpty(additionalProperties)
    ? { ...own, "x-kubernetes-preserve-unknown-fields": true }
    : { ...own, additionalProperties: structural(additionalProperties as Node) };
}

function convert(keyword: string, value: unknown): unknown {
  if (keyword === "items") return structural(value as Node);
  if (keyword !== "properties") return value;
  return Object.fromEntries(
    Object.entries(value as Node).map(([name, inner]) => [name, structural(inner as Node)]),
  );
}

function isEmpty(schema: unknown): boolean {
  return typeof schema === "object" && schema !== null && Object.keys(schema).length === 0;
}
