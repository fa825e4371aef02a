import { stringify } from "yaml";
import { leafLife, ofIdentity, ofMesh, ofNamespace, ofProcess, withMatchers } from "./expressions.ts";

/** An alert; the runbook `docs/runbooks/NAME.md` says what to do. */
export interface Alert {
  readonly name: string;
  /** `critical`: requests fail or leave unprotected now, or will before long. `warning`: look today. */
  readonly severity: "critical" | "warning";
  /** How long the expression must hold. Prometheus shows the alert as pending from the first evaluation on. */
  readonly for: string;
  /** PromQL, in which metrics are written without the matcher of the installation. */
  readonly expr: string;
  /** Both may use `{{ $labels.LABEL }}`, for labels that `expr` keeps. */
  readonly summary: string;
  readonly description: string;
}

const identity = "{{ $labels.namespace }}/{{ $labels.name }}";
const statusOfIdentity = `\`attache status -n {{ $labels.namespace }} {{ $labels.name }}\` says why.`;

export const alerts: readonly Alert[] = [
  {
    name: "AttacheDown",
    severity: "critical",
    for: "1m",
    expr: `(
  group by (${ofProcess}) (last_over_time(attache_leader[1d]))
  unless group by (${ofProcess}) (attache_leader)
) or absent(last_over_time(attache_leader[1d]))`,
    summary: "No replica of attaché answers Prometheus.",
    description:
      "No replica of the installation {{ $labels.installation }} is scraped. If none runs, no certificate is renewed, and the leaves that are published expire one after the other.",
  },
  {
    name: "AttacheLeaderless",
    severity: "critical",
    for: "1m",
    expr: `sum by (${ofProcess}) (attache_leader) != 1`,
    summary: "No replica of attaché leads, or several do.",
    description:
      "{{ $value }} replicas of the installation {{ $labels.installation }} lead. Without a leader, no certificate is renewed.",
  },
  {
    name: "AttacheReloadFailed",
    severity: "warning",
    for: "0s",
    expr: `min by (${ofProcess}) (attache_settings_last_reload_successful) == 0`,
    summary: "attaché refused the settings in its file.",
    description:
      "The installation {{ $labels.installation }} goes on with the settings from before. At its next start it would fail.",
  },
  {
    name: "AttacheConsumersExposed",
    severity: "critical",
    for: "0s",
    expr: `sum by (${ofNamespace}) (max by (${ofNamespace}, severity) (attache_insecure_consumers{severity!="unverified"})) > 0`,
    summary: "Consumers of a TLSContext in the namespace {{ $labels.namespace }} are exposed.",
    description:
      "By their objects, {{ $value }} Mappings or similar send requests in plaintext or without a client certificate. `attache status --mappings` lists them with the reason.",
  },
  {
    name: "AttacheClustersExposed",
    severity: "critical",
    for: "0s",
    expr: `max by (${ofProcess}) (attache_clusters_without_client_certificate) > 0`,
    summary: "Envoy sends requests without a client certificate now.",
    description:
      "By Envoy's own metrics, {{ $value }} consumers of a TLSContext present no client certificate. `attache status -A` names pod, cluster and Mapping.",
  },
  {
    name: "AttacheUpstreamsUnverified",
    severity: "warning",
    for: "10m",
    expr: `max by (${ofNamespace}) (attache_insecure_consumers{severity="unverified"}) > 0`,
    summary:
      "Consumers of a TLSContext in the namespace {{ $labels.namespace }} do not verify their upstream.",
    description:
      "{{ $value }} Mappings or similar present a client certificate to any server. `attache status --mappings` lists them with the reason.",
  },
  {
    name: "AttacheEmissaryFrozen",
    severity: "critical",
    for: "1m",
    expr: `max by (${ofProcess}) (attache_ingress_pods{state="frozen"}) > 0`,
    summary: "Emissary takes no configuration any more.",
    description:
      "{{ $value }} pods of the ingress reject all configuration, of all tenants: no rotation reaches them. `attache doctor` names the object that Envoy refuses.",
  },
  {
    name: "AttacheNotServed",
    severity: "warning",
    for: "2m",
    expr: `max by (${ofIdentity}) (attache_identity_condition{type="Served", status="False", reason!~"Exposed|Frozen|NotPublished"}) == 1`,
    summary: `The ingress has not loaded the certificate of ${identity}.`,
    description: `A new certificate is published, and Envoy still presents the old one or trusts old roots only. ${statusOfIdentity}`,
  },
  {
    name: "AttacheRotationOverdue",
    severity: "warning",
    for: "1m",
    expr: `(time() - max by (${ofIdentity}) (attache_renewal_timestamp_seconds))
  / ${leafLife}
  > 0.05`,
    summary: `The mesh has not renewed the leaf of ${identity} in time.`,
    description: `The renewal is late by more than a twentieth of the leaf's life. The leaf is still valid. ${statusOfIdentity}`,
  },
  {
    name: "AttacheLeafEnding",
    severity: "critical",
    for: "1m",
    expr: `(max by (${ofIdentity}) (attache_leaf_not_after_timestamp_seconds) - time())
  / ${leafLife}
  < 0.1`,
    summary: `The leaf of ${identity} ends soon, or has ended.`,
    description: `Less than a tenth of its life is left. Upstreams refuse requests with an expired leaf. ${statusOfIdentity}`,
  },
  {
    name: "AttacheRootEnding",
    severity: "critical",
    for: "1m",
    expr: `count by (${ofMesh}) (
  max by (${ofIdentity}) (attache_root_not_after_timestamp_seconds) - time()
  < clamp_max(
    0.1 * (max by (${ofIdentity}) (attache_root_not_after_timestamp_seconds) - max by (${ofIdentity}) (attache_root_not_before_timestamp_seconds)),
    30 * 86400
  )
)`,
    summary: "The last root of the mesh {{ $labels.mesh }} ends soon.",
    description:
      "Less than a tenth of its life is left, and less than 30 days. {{ $value }} identities trust no other root of the mesh: when it ends, Envoy refuses all their upstreams.",
  },
  {
    name: "AttacheOverlapTooShort",
    severity: "warning",
    for: "1m",
    expr: `count by (${ofMesh}) (
  0.9 * ${leafLife}
    > on (${ofMesh}) group_left () max by (${ofMesh}) (attache_root_retention_seconds)
  and max by (${ofIdentity}) (attache_roots{state="retiring"}) > 0
)`,
    summary: "Old roots of the mesh {{ $labels.mesh }} are removed before leaves of them end.",
    description:
      "The mesh has dropped a root, and `trust.retain` is shorter than the life of a leaf: upstreams may present leaves of that root when {{ $value }} identities no longer trust it.",
  },
  {
    name: "AttacheNotReady",
    severity: "warning",
    for: "10m",
    expr: `max by (${ofIdentity}) (attache_identity_condition{type="Ready", status="False", reason!~"Expired|Orphaned"}) == 1`,
    summary: `No good certificate is published for ${identity}.`,
    description: `There is none yet, or it no longer passes the policies, or all roots have expired. ${statusOfIdentity}`,
  },
  {
    name: "AttacheNotPublished",
    severity: "warning",
    for: "5m",
    expr: `max by (${ofIdentity}) (attache_identity_condition{type="Published", status="False", reason!~"Waiting|Contention"}) == 1`,
    summary: `The certificate of ${identity} cannot be written.`,
    description: `The mesh provides it, and the API server or the disk refuses it. ${statusOfIdentity}`,
  },
  {
    name: "AttacheMeshDisconnected",
    severity: "warning",
    for: "5m",
    expr: `min by (${ofProcess}, mesh) (attache_mesh_connected) == 0`,
    summary: "attaché is not connected to the mesh {{ $labels.mesh }}.",
    description:
      "No certificate of the mesh is renewed. What is published stays valid until it expires. `attache doctor` says what fails.",
  },
  {
    name: "AttacheSourceFailing",
    severity: "warning",
    for: "15m",
    expr: `max by (${ofIdentity}) (attache_identity_condition{type="SourceReady", status="False", reason!~"Rejected"}) == 1
unless on (${ofMesh}) min by (${ofMesh}) (attache_mesh_connected) == 0`,
    summary: `The mesh {{ $labels.mesh }} provides no certificate for ${identity}.`,
    description: `attaché is connected to the mesh, which refuses this identity or does not answer for it. ${statusOfIdentity}`,
  },
  {
    name: "AttacheCredentialsRejected",
    severity: "warning",
    for: "1m",
    expr: `max by (${ofIdentity}) (attache_identity_condition{type="SourceReady", status="False", reason="Rejected"}) == 1`,
    summary: `attaché rejects what the mesh {{ $labels.mesh }} sends for ${identity}.`,
    description: `The credential fails a policy. The last good one stays published until it expires. ${statusOfIdentity}`,
  },
  {
    name: "AttacheUnknownRoot",
    severity: "critical",
    for: "0s",
    expr: `max by (${ofIdentity}) (attache_root_problems{reason="Unknown"}) > 0`,
    summary: `The CA Secret of ${identity} had a root that the mesh does not know.`,
    description:
      "A client that may write the Secret has put it there, and Envoy trusts it until attaché removes it. `attache inspect` shows it, `attache distrust` removes it at once.",
  },
  {
    name: "AttacheNameTaken",
    severity: "critical",
    for: "1m",
    expr: `max by (${ofIdentity}, reason) (attache_identity_condition{type="Protected", status="False", reason=~"ContextNameTaken|SecretNameTaken|SecretNamedFromOutside"}) == 1`,
    summary: `Another object takes a name that ${identity} publishes.`,
    description: `{{ $labels.reason }}: Emissary may use the other object, or another namespace uses this certificate. ${statusOfIdentity}`,
  },
  {
    name: "AttacheContended",
    severity: "warning",
    for: "5m",
    expr: `max by (${ofIdentity}) (attache_identity_condition{type="Published", status="False", reason="Contention"}) == 1`,
    summary: `Another client keeps changing what ${identity} publishes.`,
    description: `attaché repairs it at growing intervals, and it is wrong in between. ${statusOfIdentity}`,
  },
  {
    name: "AttacheOrphaned",
    severity: "critical",
    for: "1m",
    expr: `max by (${ofProcess}) (attache_orphaned_identities) > 0`,
    summary: "No attaché renews certificates that are published.",
    description:
      "The installation {{ $labels.installation }} published {{ $value }} identities whose namespace, mesh or rule of `allow` was taken from its settings. Their leaves will expire. `attache status -A` lists them as `Orphaned`.",
  },
  {
    name: "AttacheTerminating",
    severity: "warning",
    for: "1h",
    expr: `max by (${ofIdentity}) (attache_identity_condition{type="Terminating", status="True"}) == 1`,
    summary: `${identity} was deleted an hour ago, and is still in use.`,
    description: `attaché keeps it and renews it until its consumers no longer name it. ${statusOfIdentity}`,
  },
  {
    name: "AttacheInternalErrors",
    severity: "warning",
    for: "0s",
    expr: `sum by (${ofProcess}) (increase(attache_internal_errors_total[15m])) > 0`,
    summary: "attaché met a bug of its own.",
    description:
      "The log of the installation {{ $labels.installation }} has the error with `bug: please report`. attaché tries again.",
  },
  {
    name: "AttacheReconcileErrors",
    severity: "warning",
    for: "15m",
    expr: `sum by (${ofProcess}) (increase(attache_reconcile_total{result="error"}[10m])) > 3`,
    summary: "Reconciliations of attaché fail repeatedly.",
    description:
      "The log of the installation {{ $labels.installation }} has the reason, once for each identity, and `attache status` shows it.",
  },
  {
    name: "AttacheKubeRequestsFailing",
    severity: "warning",
    for: "15m",
    expr: `sum by (${ofProcess}, code) (increase(attache_kube_requests_total{code=~"403|429|5..|<error>"}[10m])) > 3`,
    summary: "The API server refuses requests of attaché: {{ $labels.code }}.",
    description:
      "The installation {{ $labels.installation }} gets {{ $labels.code }} instead of answers, so that it may see and write nothing. `attache doctor` checks the permissions.",
  },
  {
    name: "AttacheFallingBehind",
    severity: "warning",
    for: "5m",
    expr: `max by (${ofProcess}, name) (attache_workqueue_oldest_age_seconds) > 60`,
    summary: "attaché does not keep up with its work.",
    description:
      "In the work queue {{ $labels.name }} of the installation {{ $labels.installation }}, keys wait for more than a minute.",
  },
  {
    name: "AttacheClockSkew",
    severity: "warning",
    for: "10m",
    expr: `max by (${ofProcess}) (abs(attache_clock_skew_seconds)) > 30`,
    summary: "The clocks of attaché and of the API server differ.",
    description:
      "They are {{ $value }} s apart. Beyond `limits.clockSkew`, attaché rejects new leaves as not valid yet, or takes valid ones for expired.",
  },
];

/** The matcher that the chart replaces by its own installation. */
export const anyInstallation = 'installation=~".+"';

/** The rules as a file of Prometheus. */
export function rulesFile(): string {
  const rules = alerts.map(({ name, expr, for: duration, severity, summary, description }) => ({
    alert: name,
    expr: withMatchers(expr, () => anyInstallation),
    ...(duration !== "0s" && { for: duration }),
    labels: { severity },
    annotations: { summary, description, runbook_url: `docs/runbooks/${name}.md` },
  }));
  const text = stringify({ groups: [{ name: "attache", rules }] }, { lineWidth: 0 });
  return `# Generated from deploy/prometheus/alerts.ts by \`npm run generate\`.\n${text}`;
}

/** The list of runbooks. */
export function runbooksPage(): string {
  const rows = alerts.map(
    ({ name, severity, for: duration, summary }) =>
      `| [${name}](${name}.md) | ${severity} | ${duration} | ${summary.replace(/\{\{ \$labels\.(\w+) \}\}/g, "_$1_")} |`,
  );
  return `# Runbooks

<!-- Generated from deploy/prometheus/alerts.ts by \`npm run generate\`. -->

One for each alert of [alerts.yaml](../../deploy/prometheus/alerts.yaml). \`critical\`: requests fail or leave unprotected
now, or will before long. \`warning\`: look at it today. [Metrics](../reference/metrics.md) lists what they are made of.

| alert | severity | after | what it says |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
}
