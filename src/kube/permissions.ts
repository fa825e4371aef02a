/**
 * What attaché may do in a cluster, and why: the Roles of the chart, and the page of permissions, say exactly
 * this.
 */
export interface Permission {
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly verbs: readonly string[];
  /**
   * `acting`: in each namespace that attaché acts in; `consumers`: in the whole cluster, or there where
   * `consumers.clusterWide` is off; `touches`: there too, if an Emissary has `touchMappings`; `own`: in its
   * own; `emissary`: in
   * that of each configured Emissary; `console`: in the whole cluster, if the console has `auth`.
   */
  readonly where: "acting" | "consumers" | "touches" | "own" | "emissary" | "console";
  readonly why: string;
  /** Whether the chart's `rbac.identitiesOnly` grants it by name, except for `list`, `watch` and `create`. */
  readonly isNameable?: true;
}

export const permissions: readonly Permission[] = [
  {
    group: "attache.dev",
    resource: "meshcertificates",
    verbs: ["patch"],
    where: "acting",
    why: "sets the finalizer that keeps a deleted MeshCertificate while it is in use",
  },
  {
    group: "",
    resource: "secrets",
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    where: "acting",
    why: "publishes leaf and roots, and repairs them; attaché lists and watches metadata only, but the permission includes reading",
    isNameable: true,
  },
  {
    group: "getambassador.io",
    resource: "tlscontexts",
    verbs: ["get", "create", "patch", "delete"],
    where: "acting",
    why: "publishes and repairs TLSContexts",
    isNameable: true,
  },
  {
    group: "attache.dev",
    resource: "meshcertificates",
    verbs: ["list", "watch"],
    where: "consumers",
    why: "reads MeshCertificates, also those that attaché may no longer renew",
  },
  {
    group: "attache.dev",
    resource: "meshcertificates",
    subresource: "status",
    verbs: ["patch"],
    where: "consumers",
    why: "writes the status of each identity",
  },
  {
    group: "getambassador.io",
    resource: "tlscontexts",
    verbs: ["list", "watch"],
    where: "consumers",
    why: "keeps the names of TLSContexts unique, and detects consumers of missing ones",
  },
  ...["mappings", "tcpmappings", "authservices", "ratelimitservices", "hosts"].map(
    (resource): Permission => ({
      group: "getambassador.io",
      resource,
      verbs: ["list", "watch"],
      where: "consumers",
      why: "detects the consumers of an identity, and which are exposed",
    }),
  ),
  {
    group: "getambassador.io",
    resource: "modules",
    verbs: ["list", "watch"],
    where: "consumers",
    why: "detects whether a Module names a published Secret, or takes the place of one",
  },
  {
    group: "",
    resource: "services",
    verbs: ["list", "watch"],
    where: "consumers",
    why: "detects consumers in annotations that Emissary reads; attaché lists and watches metadata only",
  },
  {
    group: "networking.k8s.io",
    resource: "ingresses",
    verbs: ["list", "watch"],
    where: "consumers",
    why: "detects consumers in annotations that Emissary reads, and Secrets that spec.tls names",
  },
  ...["mappings", "tcpmappings"].map((resource): Permission => ({
    group: "getambassador.io",
    resource,
    verbs: ["get", "patch"],
    where: "touches",
    why: "sets one annotation on a Mapping whose cluster has missed a rotation",
  })),
  {
    group: "events.k8s.io",
    resource: "events",
    verbs: ["create", "patch"],
    where: "acting",
    why: "reports rotations and failures",
  },
  {
    group: "events.k8s.io",
    resource: "events",
    verbs: ["create", "patch"],
    where: "own",
    why: "reports settings that it refuses",
  },
  {
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["create", "get", "update"],
    where: "own",
    why: "elects the leader among replicas",
  },
  {
    group: "discovery.k8s.io",
    resource: "endpointslices",
    verbs: ["list", "watch"],
    where: "emissary",
    why: "finds the Emissary pods, to read what they have loaded",
  },
  ...[
    { group: "authentication.k8s.io", resource: "tokenreviews" },
    { group: "authorization.k8s.io", resource: "subjectaccessreviews" },
  ].map((one): Permission => ({
    ...one,
    verbs: ["create"],
    where: "console",
    why: "finds out whose token a request to the console has, and whether its user may list MeshCertificates",
  })),
];
