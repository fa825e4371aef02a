/** What attaché may do in a cluster, and why: the Roles of the chart, and the page of permissions, say exactly this. */
export interface Permission {
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly verbs: readonly string[];
  /**
   * `acting`: in each namespace that attaché acts in; `consumers`: in the whole cluster, or there where
   * `consumers.clusterWide` is off; `own`: in its own; `emissary`: in that of each configured Emissary.
   */
  readonly where: "acting" | "consumers" | "own" | "emissary";
  readonly why: string;
}

export const permissions: readonly Permission[] = [
  {
    group: "attache.dev",
    resource: "meshcertificates",
    verbs: ["list", "watch", "patch"],
    where: "acting",
    why: "reads what is wanted, and keeps one that is deleted until nothing uses it (its finalizer)",
  },
  {
    group: "attache.dev",
    resource: "meshcertificates",
    subresource: "status",
    verbs: ["patch"],
    where: "acting",
    why: "says how each identity is",
  },
  {
    group: "",
    resource: "secrets",
    verbs: ["get", "list", "watch", "create", "patch", "delete"],
    where: "acting",
    why: "publishes leaf and roots, and repairs them; lists and watches ask for metadata only, but whoever may list may read",
  },
  {
    group: "getambassador.io",
    resource: "tlscontexts",
    verbs: ["get", "create", "patch", "delete"],
    where: "acting",
    why: "publishes contexts, and repairs them",
  },
  {
    group: "getambassador.io",
    resource: "tlscontexts",
    verbs: ["list", "watch"],
    where: "consumers",
    why: "keeps the names of contexts unique, and sees who names one that is not there",
  },
  ...["mappings", "tcpmappings", "authservices", "ratelimitservices", "hosts"].map(
    (resource): Permission => ({
      group: "getambassador.io",
      resource,
      verbs: ["list", "watch"],
      where: "consumers",
      why: "sees who uses an identity, and who is exposed",
    }),
  ),
  {
    group: "events.k8s.io",
    resource: "events",
    verbs: ["create", "patch"],
    where: "acting",
    why: "tells of rotations and failures",
  },
  {
    group: "coordination.k8s.io",
    resource: "leases",
    verbs: ["create", "get", "update"],
    where: "own",
    why: "one of several replicas works",
  },
  {
    group: "discovery.k8s.io",
    resource: "endpointslices",
    verbs: ["list", "watch"],
    where: "emissary",
    why: "finds the pods of the ingress, to ask them what they have loaded",
  },
];
