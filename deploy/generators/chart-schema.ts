import { z } from "zod";
import { dnsLabel, dnsSubdomain } from "../../src/api/names.ts";
import { meshCertificate } from "../../src/api/mesh-certificate.ts";
import { inputSchema, type JsonSchema, settingsSchema } from "./settings-schema.ts";

/** What Kubernetes itself checks when the release is applied. */
const kubernetesOwn = z.looseObject({});

const namespaces = z.array(z.union([z.literal("*"), dnsLabel]));

const identity = z.strictObject({
  name: dnsSubdomain,
  namespace: dnsLabel.optional(),
  createServiceAccount: z.boolean().optional(),
  retire: z.boolean().optional(),
  spec: meshCertificate.shape.spec,
});

const kubernetesList = z.array(kubernetesOwn);
const text = z.string();
const labels = z.record(z.string(), z.string());

const monitor = z.strictObject({ enabled: z.boolean(), interval: text, labels });

/** What is the chart's own. What is attaché's (`meshes`, `consumers`, `allow`, `emissary`, `log`) comes from its settings. */
const values = z.strictObject({
  enabled: z.boolean(),
  nameOverride: text,
  fullnameOverride: text,
  commonLabels: labels,
  image: z.strictObject({
    registry: text,
    repository: text.min(1),
    tag: text,
    digest: text.regex(/^(sha256:[0-9a-f]{64})?$/),
    pullPolicy: z.enum(["Always", "IfNotPresent", "Never"]),
  }),
  imagePullSecrets: kubernetesList,
  replicas: z.int().min(0),
  installation: text.max(63).regex(/^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$/),
  namespaces,
  identities: z.array(identity),
  preflight: z.strictObject({ enabled: z.boolean() }),
  crds: z.strictObject({ enabled: z.boolean() }),
  console: z.strictObject({ enabled: z.boolean(), auth: z.boolean() }),
  settings: z.looseObject({}),
  rbac: z.strictObject({
    aggregate: z.boolean(),
    identitiesOnly: z.boolean(),
    admissionPolicy: z.boolean(),
    adopted: z.record(dnsLabel, z.array(dnsSubdomain)),
  }),
  serviceAccount: z.strictObject({ create: z.boolean(), name: text, annotations: kubernetesOwn }),
  service: z.strictObject({
    port: z.int().min(1).max(65_535),
    annotations: kubernetesOwn,
    ipFamilyPolicy: z.enum(["", "SingleStack", "PreferDualStack", "RequireDualStack"]),
    ipFamilies: z.array(z.enum(["IPv4", "IPv6"])),
  }),
  serviceMonitor: monitor,
  podMonitor: monitor,
  prometheusRule: z.strictObject({ enabled: z.boolean(), labels, runbooks: text }),
  dashboard: z.strictObject({
    enabled: z.boolean(),
    labels,
    annotations: labels,
    namespace: z.union([z.literal(""), dnsLabel]),
  }),
  networkPolicy: z.strictObject({
    enabled: z.boolean(),
    scrapers: kubernetesList,
    consoleClients: kubernetesList,
    apiServer: kubernetesList,
    egress: kubernetesList,
  }),
  admissionPolicy: z.strictObject({
    enabled: z.boolean(),
    contexts: z.record(dnsSubdomain, namespaces.min(1)),
    annotations: namespaces,
    namespaceSelector: kubernetesOwn,
  }),
  deletionPolicy: z.strictObject({ enabled: z.boolean(), users: z.array(text.min(1)) }),
  podAnnotations: labels,
  podLabels: labels,
  podSecurityContext: kubernetesOwn,
  securityContext: kubernetesOwn,
  adaptSecurityContext: z.enum(["auto", "force", "disabled"]),
  startupProbe: kubernetesOwn,
  livenessProbe: kubernetesOwn,
  readinessProbe: kubernetesOwn,
  strategy: kubernetesOwn,
  revisionHistoryLimit: z.int().min(0),
  nodeSelector: labels,
  tolerations: kubernetesList,
  affinity: kubernetesOwn,
  topologySpreadConstraints: kubernetesList,
  priorityClassName: text,
  hostAliases: kubernetesList,
  dnsPolicy: text,
  dnsConfig: kubernetesOwn,
  resources: kubernetesOwn,
  volumes: kubernetesList,
  volumeMounts: kubernetesList,
  env: z.array(z.looseObject({ name: text.min(1) })),
  initContainers: kubernetesList,
  extraContainers: kubernetesList,
  extraObjects: z.array(z.union([text, kubernetesOwn])),
});

/** What the chart makes settings and volumes of; see values.yaml. */
const consulRelease = z.strictObject({
  name: dnsSubdomain,
  namespace: dnsLabel,
  tls: z.boolean().optional(),
  acls: z.boolean().optional(),
});
const caSecret = z.strictObject({ name: dnsSubdomain, key: z.string().min(1).optional() });

/** `values.schema.json` of the chart: helm refuses values that attaché would refuse as settings. */
export function chartSchema(): JsonSchema {
  const own = nullable(inputSchema(values));
  const {
    meshes,
    allow = {},
    emissary = {},
    log = {},
    limits = {},
    store = {},
  } = settingsSchema(withChartSettings).properties ?? {};
  const { consumers = {} } = store.properties?.["kubernetes"]?.properties ?? {};
  return withoutPropertyNames({
    ...own,
    properties: {
      ...own.properties,
      // Helm hands it to every chart.
      global: {},
      meshes: switchable(meshes),
      consumers,
      allow,
      emissary,
      log,
      settings: { ...own.properties?.["settings"], properties: { limits } },
    },
  }) as JsonSchema;
}

/** The settings of a mesh's mode, and what the chart takes beside them. */
function withChartSettings(
  kind: string,
  properties: Readonly<Record<string, JsonSchema>>,
): Readonly<Record<string, JsonSchema>> {
  const all = { ...properties, enabled: {} };
  if (kind === "spiffe") return { ...all, csiDriver: inputSchema(dnsSubdomain) };
  if (kind !== "consul") return all;
  const { login = {} } = properties;
  return {
    ...all,
    ...("addresses" in properties && { release: inputSchema(consulRelease) }),
    caSecret: inputSchema(caSecret),
    login: { ...login, properties: { ...login.properties, audience: { type: "string", minLength: 1 } } },
  };
}

/** Helm takes away what is `null`, as an empty line is: what is empty by default may be absent. */
function nullable(schema: JsonSchema): JsonSchema {
  const { properties = {}, required = [] } = schema;
  const all = Object.entries(properties).map(([key, value]) => [key, nullable(value)] as const);
  const isFilled = (key: string) => {
    const { type, properties: own = {}, enum: options, minLength } = properties[key] ?? {};
    if (type === "string") return minLength !== undefined || options?.includes("") === false;
    return type !== "array" && (type !== "object" || Object.keys(own).length > 0);
  };
  return all.length === 0
    ? schema
    : { ...schema, properties: Object.fromEntries(all), required: required.filter(isFilled) };
}

/** A mesh that is off may be incomplete: nothing reads it. */
function switchable(meshes: JsonSchema = {}): JsonSchema {
  const { properties, ...mesh } = meshes.additionalProperties as JsonSchema;
  return {
    ...meshes,
    additionalProperties: {
      type: "object",
      properties: { ...properties, enabled: { type: "boolean", default: false } },
      required: ["enabled"],
      if: { properties: { enabled: { const: true } } },
      then: mesh,
    },
  };
}

/** The same with `patternProperties`: helm points to some other key where one is not among `propertyNames`. */
function withoutPropertyNames(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutPropertyNames);
  if (typeof schema !== "object" || schema === null) return schema;
  const all = Object.entries(schema).map(([key, value]) => [key, withoutPropertyNames(value)] as const);
  const { propertyNames, ...rest } = Object.fromEntries(all) as JsonSchema & { propertyNames?: JsonSchema };
  const { pattern } = (propertyNames ?? {}) as { readonly pattern?: string };
  if (pattern === undefined) return rest;
  const { additionalProperties, ...others } = rest;
  return { ...others, patternProperties: { [pattern]: additionalProperties }, additionalProperties: false };
}
