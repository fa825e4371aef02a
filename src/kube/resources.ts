/** One kind of object, as the paths of the API name it. */
export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
}

const core = { group: "", version: "v1" };
const emissary = { group: "getambassador.io", version: "v3alpha1" };
const authorization = { group: "authorization.k8s.io", version: "v1" };

/** All that attaché has to do with. */
export const resources = {
  configMaps: { ...core, plural: "configmaps", kind: "ConfigMap" },
  namespaces: { ...core, plural: "namespaces", kind: "Namespace" },
  pods: { ...core, plural: "pods", kind: "Pod" },
  secrets: { ...core, plural: "secrets", kind: "Secret" },
  services: { ...core, plural: "services", kind: "Service" },
  serviceAccounts: { ...core, plural: "serviceaccounts", kind: "ServiceAccount" },
  events: { group: "events.k8s.io", version: "v1", plural: "events", kind: "Event" },
  ingresses: { group: "networking.k8s.io", version: "v1", plural: "ingresses", kind: "Ingress" },
  modules: { ...emissary, plural: "modules", kind: "Module" },
  leases: { group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease" },
  customResourceDefinitions: {
    group: "apiextensions.k8s.io",
    version: "v1",
    plural: "customresourcedefinitions",
    kind: "CustomResourceDefinition",
  },
  endpointSlices: {
    group: "discovery.k8s.io",
    version: "v1",
    plural: "endpointslices",
    kind: "EndpointSlice",
  },
  clusterTrustBundles: {
    group: "certificates.k8s.io",
    version: "v1beta1",
    plural: "clustertrustbundles",
    kind: "ClusterTrustBundle",
  },
  selfSubjectAccessReviews: {
    ...authorization,
    plural: "selfsubjectaccessreviews",
    kind: "SelfSubjectAccessReview",
  },
  subjectAccessReviews: { ...authorization, plural: "subjectaccessreviews", kind: "SubjectAccessReview" },
  tokenReviews: {
    group: "authentication.k8s.io",
    version: "v1",
    plural: "tokenreviews",
    kind: "TokenReview",
  },
  selfSubjectReviews: {
    group: "authentication.k8s.io",
    version: "v1",
    plural: "selfsubjectreviews",
    kind: "SelfSubjectReview",
  },
  meshCertificates: {
    group: "attache.dev",
    version: "v1alpha1",
    plural: "meshcertificates",
    kind: "MeshCertificate",
  },
  tlsContexts: { ...emissary, plural: "tlscontexts", kind: "TLSContext" },
  mappings: { ...emissary, plural: "mappings", kind: "Mapping" },
  tcpMappings: { ...emissary, plural: "tcpmappings", kind: "TCPMapping" },
  authServices: { ...emissary, plural: "authservices", kind: "AuthService" },
  rateLimitServices: { ...emissary, plural: "ratelimitservices", kind: "RateLimitService" },
  hosts: { ...emissary, plural: "hosts", kind: "Host" },
} as const satisfies Record<string, Resource>;

export interface ObjectPlace {
  /** None: in all namespaces, or of the cluster. */
  readonly namespace?: string | undefined;
  /** None: all of them. */
  readonly name?: string | undefined;
  readonly subresource?: "status" | "token" | undefined;
}

export function apiVersionOf({ group, version }: Resource): string {
  return group === "" ? version : `${group}/${version}`;
}

/** The path under which the API has the objects. */
export function pathOf(resource: Resource, { namespace, name, subresource }: ObjectPlace = {}): string {
  return [
    resource.group === "" ? "/api" : "/apis",
    apiVersionOf(resource),
    ...(namespace === undefined ? [] : ["namespaces", encodeURIComponent(namespace)]),
    resource.plural,
    ...(name === undefined ? [] : [encodeURIComponent(name)]),
    ...(subresource === undefined ? [] : [subresource]),
  ].join("/");
}

/** What a path names, in the words in which permissions are granted. */
interface Named {
  readonly group: string;
  /** With its subresource: `meshcertificates/status`. */
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
}

/** The inverse of {@link pathOf}; `undefined` for what is no object, e.g. `/version`. */
export function namedBy(path: string): Named | undefined {
  const found =
    /^\/(?:api|apis\/(?<group>[^/]+))\/v[^/]+(?:\/namespaces\/(?<namespace>[^/]+)(?=\/))?\/(?<plural>[^/]+)(?:\/(?<name>[^/]+))?(?:\/(?<sub>[^/]+))?$/.exec(
      path,
    );
  if (found?.groups === undefined) return undefined;
  const { group = "", namespace, plural = "", name, sub } = found.groups;
  return {
    group,
    resource: sub === undefined ? plural : `${plural}/${sub}`,
    namespace: namespace === undefined ? undefined : decodeURIComponent(namespace),
    name: name === undefined ? undefined : decodeURIComponent(name),
  };
}
