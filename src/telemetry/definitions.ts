/**
 * Every metric of attaché's own: what is exposed, docs/reference/metrics.md and the tests of rules and pages
 * come from this table. Each has the label `installation` too.
 */
export const definitions = {
  attache_build_info: gauge(
    ["version", "node"],
    "Always 1. The labels have the versions of attaché and Node.",
  ),
  attache_leader: gauge(
    [],
    "1 on the leader, 0 on a replica that waits and so has no identities. Always 1 without leader election.",
  ),
  attache_leader_changes_total: counter([], "Terms of leadership that this replica has begun."),
  attache_clock_skew_seconds: gauge(
    [],
    "How far the clock of the API server is ahead of attaché's, to the second. Absent without a cluster.",
  ),
  attache_settings_last_reload_successful: gauge(
    [],
    "1 if the settings in the file are in force, 0 if they were refused and the ones from before stay in force.",
  ),
  attache_settings_last_reload_success_timestamp_seconds: gauge([], "When the settings came into force."),
  attache_mesh_connected: gauge(
    ["mesh"],
    "1 while attaché is connected to the control plane or agent of the mesh, 0 while it is not. Absent until the first request.",
  ),
  attache_workqueue_depth: gauge(
    ["name"],
    "Keys that wait in the work queue reconcile or ingress. Above 0 for minutes: attaché falls behind.",
  ),
  attache_workqueue_oldest_age_seconds: gauge(
    ["name"],
    "For how long the key has waited that waits longest. 0 if none waits.",
  ),
  attache_insecure_consumers: gauge(
    ["namespace", "severity"],
    "Mappings and similar that their TLSContext does not protect: plaintext, anonymous or unverified. attache status --mappings lists them. The namespaces with most are named; (other) has the rest, and 0 while there is none. Absent without a cluster and on a replica that waits.",
  ),
  attache_clusters_without_client_certificate: gauge(
    [],
    "Consumers whose cluster in Envoy presents no client certificate now, by Envoy's own metrics. Absent without emissary in the settings.",
  ),
  attache_ingress_pods: gauge(
    ["state"],
    "Pods of the ingress: answering or silent at the last request, or frozen, which rejects all configuration.",
  ),
  attache_served_leaf_not_after_timestamp_seconds: gauge(
    ["emissary", "ingress_pod", "envoy_cluster"],
    "When the leaf expires that a cluster in an Envoy presents, by Envoy's own metrics. The clusters whose leaf expires first have a series.",
  ),
  attache_identities: gauge(
    ["mesh", "ready"],
    "MeshCertificates, by whether their published certificate is valid now (true, false).",
  ),
  attache_earliest_leaf_not_after_timestamp_seconds: gauge(
    ["mesh"],
    "When the first published leaf of the mesh expires.",
  ),
  attache_name_conflicts: gauge(
    ["reason"],
    "MeshCertificates whose published names another object takes or uses, by the reason of the condition Protected.",
  ),
  attache_identities_without_series: gauge(
    [],
    "MeshCertificates without series of their own, because there are too many: the worst ones keep theirs. Otherwise 0.",
  ),
  attache_orphaned_identities: gauge(
    [],
    "MeshCertificates that this installation published and may no longer renew: their namespace or mesh was taken from its settings.",
  ),
  attache_root_retention_seconds: gauge(
    ["mesh"],
    "For how long a root stays trusted that the mesh has dropped (trust.retain).",
  ),
  attache_identity_info: gauge(
    ["namespace", "name", "mesh", "secret", "context", "spiffe_id"],
    "Always 1. The labels have the Secret of the leaf, the TLSContext and the SPIFFE ID of the published leaf, to join with.",
  ),
  attache_identity_condition: gauge(
    ["namespace", "name", "mesh", "type", "status", "reason"],
    "1 for the status (True, False, Unknown) that the condition has, with its reason, and 0 for the other two, without a reason.",
  ),
  attache_leaf_not_before_timestamp_seconds: gauge(
    ["namespace", "name", "mesh"],
    "When the published leaf becomes valid.",
  ),
  attache_leaf_not_after_timestamp_seconds: gauge(
    ["namespace", "name", "mesh"],
    "When the published leaf expires.",
  ),
  attache_renewal_timestamp_seconds: gauge(
    ["namespace", "name", "mesh"],
    "When the mesh is expected to have renewed the published leaf.",
  ),
  attache_root_not_after_timestamp_seconds: gauge(
    ["namespace", "name", "mesh"],
    "When the last root that the mesh lists expires. Nothing is trusted after that.",
  ),
  attache_root_not_before_timestamp_seconds: gauge(
    ["namespace", "name", "mesh"],
    "When the root became valid that attache_root_not_after_timestamp_seconds is about.",
  ),
  attache_roots: gauge(
    ["namespace", "name", "mesh", "state"],
    "Published roots: active ones, which the mesh lists, and retiring ones, which it has dropped and attaché retains.",
  ),
  attache_root_problems: gauge(
    ["namespace", "name", "mesh", "reason"],
    "Roots of the mesh that are left out, not read by Emissary or otherwise odd, as status.rootProblems lists them. Absent without any.",
  ),
  attache_rotations_total: counter(
    ["mesh", "cause"],
    "New credentials published, by what was new: initial, leaf, root or both.",
  ),
  attache_publish_duration_seconds: histogram(
    ["mesh"],
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    "From receiving a credential from the mesh until it is stored, with the waits for its roots and for a rotation window.",
  ),
  attache_serve_duration_seconds: histogram(
    [],
    [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    "From storing a credential until every pod of the ingress has loaded it.",
  ),
  attache_touches_total: counter(
    ["emissary", "kind"],
    "Objects (TLSContext, Mapping, TCPMapping) touched because an Emissary had missed a change, or may have: then emissary is empty.",
  ),
  attache_reconcile_total: counter(
    ["result"],
    "Reconciled keys (identities, the ingress, withdrawals): success, requeue (again at a given time) or error (again with back-off).",
  ),
  attache_reconcile_duration_seconds: histogram(
    [],
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    "Duration of one reconciliation.",
  ),
  attache_kube_requests_total: counter(
    ["verb", "code"],
    "Requests to the API server, by verb and HTTP status, or <error> without an answer.",
  ),
  attache_credential_rejections_total: counter(
    ["mesh", "policy"],
    "Credentials that failed a policy. The last good one stays published.",
  ),
  attache_unknown_roots_total: counter(
    ["mesh"],
    "Roots found in a CA Secret that neither the mesh nor the status of the identity knows: another client wrote them, and they end within trust.retain.",
  ),
  attache_mesh_requests_total: counter(
    ["mesh", "code"],
    "Answers of a mesh to requests for credentials: OK with a credential, or the code of the failure, also of a connection.",
  ),
  attache_mesh_request_duration_seconds: histogram(
    ["mesh"],
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    "From asking a mesh for a credential until its first answer, or failure.",
  ),
  attache_mesh_login_failures_total: counter(
    ["mesh"],
    "Logins, tokens and client certificates of attaché that the mesh refused.",
  ),
  attache_store_writes_total: counter([], "Objects written to the store."),
  attache_store_unchanged_total: counter(
    [],
    "Targets that were already stored, so that nothing was written.",
  ),
  attache_store_errors_total: counter(["code"], "Failures of the store."),
  attache_internal_errors_total: counter([], "Failures of attaché itself. Each is a bug: please report it."),
} as const satisfies Readonly<Record<`attache_${string}`, Definition>>;

export type MetricName = keyof typeof definitions;
export type LabelOf<N extends MetricName> = (typeof definitions)[N]["labels"][number];
/** The metrics of one type. */
export type NameOf<T extends Definition["type"]> = {
  [N in MetricName]: (typeof definitions)[N]["type"] extends T ? N : never;
}[MetricName];

/** A metric as prom-client wants it. */
export function described<N extends MetricName>(name: N) {
  const { help, labels } = definitions[name];
  return { name, help, labelNames: labels as readonly LabelOf<N>[] };
}

interface Definition {
  readonly type: "gauge" | "counter" | "histogram";
  readonly labels: readonly string[];
  readonly help: string;
  /** Of a histogram. */
  readonly buckets?: readonly number[];
}

function gauge<const L extends readonly string[]>(labels: L, help: string) {
  return { type: "gauge", labels, help } as const;
}

function counter<const L extends readonly string[]>(labels: L, help: string) {
  return { type: "counter", labels, help } as const;
}

function histogram<const L extends readonly string[]>(labels: L, buckets: readonly number[], help: string) {
  return { type: "histogram", labels, buckets, help } as const;
}
