import { leafLife, ofIdentity, ofMesh, ofNamespace, ofProcess } from "./expressions.ts";

/** One panel of the dashboard. */
export interface Panel {
  readonly title: string;
  /** What it says, and what to do where something is wrong. */
  readonly description: string;
  /** `number`: one big one. `states`: a band for each series, connected or not. `table`: one row for each series, now. */
  readonly kind: "number" | "lines" | "bars" | "states" | "table";
  /** Of 24 columns. */
  readonly width: number;
  /** As Grafana calls it. */
  readonly unit?: "short" | "s" | "percentunit" | "bytes" | "reqps" | "ops";
  /** PromQL, in which metrics are written without the matchers of the variables; each with its legend. */
  readonly queries: readonly (readonly [expr: string, legend: string])[];
  /** From which values on something is wrong. A rising panel is bad above them, a falling one below. */
  readonly limits?: { readonly bad: "above" | "below"; readonly warning: number; readonly alarm: number };
  /** Of a table: the labels that it shows, with their titles, and the title of the value, which is hidden without. */
  readonly columns?: { readonly labels: Readonly<Record<string, string>>; readonly value?: string };
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

const ofInstallation = "cluster, installation";
const mesh = "{{mesh}} {{installation}} {{cluster}}";
const installation = "{{installation}} {{cluster}}";
const identityColumns = {
  namespace: "namespace",
  name: "name",
  mesh: "mesh",
  installation: "installation",
  cluster: "cluster",
};

const none = { bad: "above", warning: 1, alarm: 1 } as const;
const lifeLeft = `(max by (${ofIdentity}) (attache_leaf_not_after_timestamp_seconds) - time()) / ${leafLife}`;

function quantiles(histogram: string, labels: string, legend: string): Panel["queries"] {
  return [0.5, 0.99].map((quantile) => [
    `histogram_quantile(${quantile}, sum by (${labels}, le) (rate(${histogram}_bucket[$__rate_interval])))`,
    `p${100 * quantile} ${legend}`,
  ]);
}

const isItWell: Row = {
  title: "Is it well?",
  panels: [
    {
      title: "Alerts",
      description: "Alerts of attaché that fire now. Needs the rules of deploy/prometheus/alerts.yaml.",
      kind: "number",
      width: 4,
      limits: none,
      queries: [[`count(ALERTS{alertname=~"Attache.+", alertstate="firing"}) or vector(0)`, "firing"]],
    },
    {
      title: "Installations without a leader",
      description: "Nothing is renewed there. Of several replicas exactly one leads.",
      kind: "number",
      width: 4,
      limits: none,
      queries: [[`count(sum by (${ofProcess}) (attache_leader) != 1) or vector(0)`, "without a leader"]],
    },
    {
      title: "Meshes without a connection",
      description: "Their certificates are not renewed, and stay valid until they end.",
      kind: "number",
      width: 4,
      limits: none,
      queries: [[`count(min by (${ofMesh}) (attache_mesh_connected) == 0) or vector(0)`, "not connected"]],
    },
    {
      title: "Consumers exposed",
      description:
        "Mappings and similar that send plaintext, present no certificate, or verify no upstream: `attache status --mappings` lists them.",
      kind: "number",
      width: 4,
      limits: none,
      queries: [
        [`sum(max by (${ofNamespace}, severity) (attache_insecure_consumers)) or vector(0)`, "exposed"],
      ],
    },
    {
      title: "Identities not ready",
      description: "No valid certificate is published for them: `attache status -A` says why.",
      kind: "number",
      width: 4,
      limits: none,
      queries: [[`sum(max by (${ofMesh}) (attache_identities{ready="false"})) or vector(0)`, "not ready"]],
    },
    {
      title: "Shortest life left",
      description:
        "Of all published leaves, the smallest part of its life that is left. Meshes renew between a half and a tenth.",
      kind: "number",
      width: 4,
      unit: "percentunit",
      limits: { bad: "below", warning: 0.2, alarm: 0.1 },
      queries: [[`min(${lifeLeft})`, "left"]],
    },
    {
      title: "Alerts, firing and pending",
      description: "docs/runbooks says of each what it means, where to look and what to do.",
      kind: "table",
      width: 12,
      queries: [
        [
          `max by (alertname, alertstate, severity, ${ofIdentity}) (ALERTS{alertname=~"Attache.+"})`,
          "{{alertname}}",
        ],
      ],
      columns: {
        labels: { alertname: "alert", alertstate: "state", severity: "severity", ...identityColumns },
      },
    },
    {
      title: "What is wrong with identities",
      description: "Conditions that do not hold, by their reason.",
      kind: "bars",
      width: 12,
      queries: [
        [
          `count by (type, reason) (
  max by (${ofIdentity}, type, status, reason) (attache_identity_condition{type!="Terminating", status!="True"}) == 1
)`,
          "{{type}}: {{reason}}",
        ],
        [
          `count by (type, reason) (
  max by (${ofIdentity}, type, status, reason) (attache_identity_condition{type="Terminating", status="True"}) == 1
)`,
          "{{type}}: {{reason}}",
        ],
      ],
    },
  ],
};

const rotation: Row = {
  title: "Rotation",
  panels: [
    {
      title: "Life of the leaves",
      description:
        "The part of its life that has passed: of the oldest leaf of each mesh, and in the middle. It falls with each rotation; at 100 % the leaf has ended.",
      kind: "lines",
      width: 12,
      unit: "percentunit",
      limits: { bad: "above", warning: 0.9, alarm: 1 },
      queries: [
        [`1 - min by (${ofMesh}) (${lifeLeft})`, `oldest ${mesh}`],
        [`1 - quantile by (${ofMesh}) (0.5, ${lifeLeft})`, `median ${mesh}`],
      ],
    },
    {
      title: "Renewals overdue",
      description:
        "Identities whose mesh should have renewed the leaf. Minutes are usual; AttacheRotationOverdue fires after a twentieth of the leaf's life.",
      kind: "lines",
      width: 6,
      queries: [
        [
          `sum by (${ofMesh}) (time() > bool max by (${ofIdentity}) (attache_renewal_timestamp_seconds))`,
          mesh,
        ],
      ],
    },
    {
      title: "Rotations",
      description: "New credentials published, by what was new in them.",
      kind: "bars",
      width: 6,
      queries: [[`sum by (cause) (increase(attache_rotations_total[$__rate_interval]))`, "{{cause}}"]],
    },
    {
      title: "Leaves that end first",
      description: "What is left of them.",
      kind: "table",
      width: 12,
      unit: "percentunit",
      limits: { bad: "below", warning: 0.2, alarm: 0.1 },
      queries: [[`bottomk(10, ${lifeLeft})`, "{{namespace}}/{{name}}"]],
      columns: { labels: identityColumns, value: "life left" },
    },
    {
      title: "From the mesh to the store",
      description: "How long a credential takes from its arrival until it is published, with its waits.",
      kind: "lines",
      width: 6,
      unit: "s",
      queries: quantiles("attache_publish_duration_seconds", ofMesh, mesh),
    },
    {
      title: "Roots",
      description:
        "The most that one identity trusts: active ones, which the mesh lists, and retiring ones, which it has dropped. Retiring ones end after `trust.retain`.",
      kind: "lines",
      width: 6,
      queries: [[`max by (${ofMesh}, state) (attache_roots)`, `{{state}} ${mesh}`]],
    },
    {
      title: "The last root ends",
      description: "When it has ended, Envoy refuses all upstreams of the mesh.",
      kind: "lines",
      width: 6,
      unit: "s",
      queries: [[`min by (${ofMesh}) (attache_root_not_after_timestamp_seconds) - time()`, mesh]],
    },
    {
      title: "Identities",
      description:
        "By mesh. Above 2,500 an attaché has series of the worst 1,000 only; these numbers count all.",
      kind: "lines",
      width: 6,
      queries: [
        [`sum by (${ofMesh}) (max by (${ofMesh}, ready) (attache_identities))`, mesh],
        [
          `max by (${ofInstallation}) (attache_identities_without_series) > 0`,
          `without series ${installation}`,
        ],
      ],
    },
    {
      title: "Rejected, and planted",
      description: "Credentials that failed a policy, and roots in a CA Secret that the mesh does not know.",
      kind: "bars",
      width: 6,
      queries: [
        [
          `sum by (mesh, policy) (increase(attache_credential_rejections_total[$__rate_interval])) > 0`,
          "{{policy}} {{mesh}}",
        ],
        [
          `sum by (mesh) (increase(attache_unknown_roots_total[$__rate_interval])) > 0`,
          "unknown root {{mesh}}",
        ],
      ],
    },
    {
      title: "Orphaned, and names in conflict",
      description:
        "Certificates that no attaché renews any more, and identities whose names another object takes.",
      kind: "lines",
      width: 6,
      limits: none,
      queries: [
        [`max by (${ofInstallation}) (attache_orphaned_identities)`, `orphaned ${installation}`],
        [`max by (${ofInstallation}, reason) (attache_name_conflicts) > 0`, `{{reason}} ${installation}`],
      ],
    },
  ],
};

const served: Row = {
  title: "Served, and exposed",
  panels: [
    {
      title: "Exposed consumers",
      description:
        "By the objects, how bad it is; and by Envoy's own metrics, those without a client certificate now.",
      kind: "lines",
      width: 8,
      limits: none,
      queries: [
        [
          `sum by (severity) (max by (${ofNamespace}, severity) (attache_insecure_consumers))`,
          "{{severity}}",
        ],
        [
          `max by (${ofInstallation}) (attache_clusters_without_client_certificate)`,
          `seen by Envoy ${installation}`,
        ],
      ],
    },
    {
      title: "Identities that are not served",
      description: "Published, and Envoy still presents an older leaf or trusts older roots.",
      kind: "lines",
      width: 8,
      queries: [
        [
          `count by (${ofInstallation}, reason) (
  max by (${ofIdentity}, reason) (attache_identity_condition{type="Served", status="False"}) == 1
) or 0 * max by (${ofInstallation}) (attache_leader)`,
          `{{reason}} ${installation}`,
        ],
      ],
    },
    {
      title: "From the store to every Envoy",
      description: "How long the ingress takes to load a rotation.",
      kind: "lines",
      width: 8,
      unit: "s",
      queries: quantiles("attache_serve_duration_seconds", ofInstallation, installation),
    },
    {
      title: "Pods of the ingress",
      description:
        "Frozen ones reject all configuration: `attache doctor` names the object that Envoy refuses.",
      kind: "lines",
      width: 8,
      queries: [[`sum by (state) (max by (${ofInstallation}, state) (attache_ingress_pods))`, "{{state}}"]],
    },
    {
      title: "Touches",
      description: "Objects that were touched, because Emissary had missed a change of a Secret.",
      kind: "bars",
      width: 8,
      queries: [[`sum by (kind) (increase(attache_touches_total[$__rate_interval]))`, "{{kind}}"]],
    },
    {
      title: "Leaves in Envoys that end first",
      description: "As Envoy has them, by pod and cluster of Envoy.",
      kind: "table",
      width: 8,
      unit: "s",
      queries: [
        [
          `bottomk(10, min by (${ofInstallation}, ingress_pod, envoy_cluster) (attache_served_leaf_not_after_timestamp_seconds) - time())`,
          "{{ingress_pod}} {{envoy_cluster}}",
        ],
      ],
      columns: {
        labels: {
          ingress_pod: "pod",
          envoy_cluster: "cluster in Envoy",
          installation: "installation",
          cluster: "cluster",
        },
        value: "ends in",
      },
    },
  ],
};

const meshes: Row = {
  title: "Meshes",
  panels: [
    {
      title: "Connection",
      description: "To the control plane or agent of each mesh. `attache doctor` says what fails.",
      kind: "states",
      width: 12,
      queries: [[`min by (${ofMesh}) (attache_mesh_connected)`, mesh]],
    },
    {
      title: "Requests to meshes",
      description: "Answers to requests for credentials, by code; OK is a credential.",
      kind: "lines",
      width: 12,
      unit: "reqps",
      queries: [
        [
          `sum by (${ofMesh}, code) (rate(attache_mesh_requests_total[$__rate_interval])) > 0`,
          `{{code}} ${mesh}`,
        ],
      ],
    },
    {
      title: "Errors of meshes",
      description: "The part of the requests that fail, and logins that the mesh refuses.",
      kind: "lines",
      width: 12,
      unit: "percentunit",
      limits: { bad: "above", warning: 0.1, alarm: 0.5 },
      queries: [
        [
          `(sum by (${ofMesh}) (rate(attache_mesh_requests_total{code!="OK"}[$__rate_interval])) or 0 * sum by (${ofMesh}) (rate(attache_mesh_requests_total[$__rate_interval])))
  / (sum by (${ofMesh}) (rate(attache_mesh_requests_total[$__rate_interval])) > 0)`,
          mesh,
        ],
        [
          `sum by (${ofMesh}) (increase(attache_mesh_login_failures_total[$__rate_interval])) > 0`,
          `refused logins ${mesh}`,
        ],
      ],
    },
    {
      title: "Latency of meshes",
      description: "From the request to the first answer of the mesh.",
      kind: "lines",
      width: 12,
      unit: "s",
      queries: quantiles("attache_mesh_request_duration_seconds", ofMesh, mesh),
    },
  ],
};

const apiServer: Row = {
  title: "API server and store",
  panels: [
    {
      title: "Requests to the API server",
      description: "To the API server, by verb.",
      kind: "lines",
      width: 8,
      unit: "reqps",
      queries: [[`sum by (verb) (rate(attache_kube_requests_total[$__rate_interval])) > 0`, "{{verb}}"]],
    },
    {
      title: "Refused requests",
      description:
        "Without an answer (<error>), or with a code from 400 on. Conflicts (409) repeat by themselves.",
      kind: "bars",
      width: 8,
      queries: [
        [
          `sum by (verb, code) (increase(attache_kube_requests_total{code!~"[123].."}[$__rate_interval])) > 0`,
          "{{code}} {{verb}}",
        ],
        [`sum by (code) (increase(attache_store_errors_total[$__rate_interval])) > 0`, "store: {{code}}"],
      ],
    },
    {
      title: "Writes",
      description: "Objects written, and targets that were stored already.",
      kind: "lines",
      width: 8,
      unit: "ops",
      queries: [
        [
          `sum by (${ofInstallation}) (rate(attache_store_writes_total[$__rate_interval]))`,
          `written ${installation}`,
        ],
        [
          `sum by (${ofInstallation}) (rate(attache_store_unchanged_total[$__rate_interval]))`,
          `unchanged ${installation}`,
        ],
      ],
    },
    {
      title: "Reconciliations",
      description: "By result. `requeue` is usual: the next look is planned.",
      kind: "lines",
      width: 8,
      unit: "ops",
      queries: [[`sum by (result) (rate(attache_reconcile_total[$__rate_interval]))`, "{{result}}"]],
    },
    {
      title: "Duration of a reconciliation",
      description: "With its requests to the API server.",
      kind: "lines",
      width: 8,
      unit: "s",
      queries: quantiles("attache_reconcile_duration_seconds", ofInstallation, installation),
    },
    {
      title: "Work queues",
      description: "For how long the key has waited that waits longest. Minutes: attaché falls behind.",
      kind: "lines",
      width: 8,
      unit: "s",
      limits: { bad: "above", warning: 30, alarm: 60 },
      queries: [
        [
          `max by (${ofInstallation}, name) (attache_workqueue_oldest_age_seconds)`,
          `{{name}} ${installation}`,
        ],
      ],
    },
  ],
};

const processes: Row = {
  title: "Process",
  panels: [
    {
      title: "Memory",
      description: "Resident memory of each replica.",
      kind: "lines",
      width: 6,
      unit: "bytes",
      queries: [[`process_resident_memory_bytes`, `{{pod}} ${installation}`]],
    },
    {
      title: "CPU",
      description: "Cores in use, of each replica.",
      kind: "lines",
      width: 6,
      unit: "short",
      queries: [[`rate(process_cpu_seconds_total[$__rate_interval])`, `{{pod}} ${installation}`]],
    },
    {
      title: "Event loop, p99",
      description: "How late the process does what is due. Above a second, it serves nothing in time.",
      kind: "lines",
      width: 6,
      unit: "s",
      limits: { bad: "above", warning: 0.2, alarm: 1 },
      queries: [[`nodejs_eventloop_lag_p99_seconds`, `{{pod}} ${installation}`]],
    },
    {
      title: "Clock skew",
      description: "How far the API server's clock is ahead. AttacheClockSkew fires beyond 30 s.",
      kind: "lines",
      width: 6,
      unit: "s",
      queries: [[`max by (${ofInstallation}) (attache_clock_skew_seconds)`, installation]],
    },
    {
      title: "Replicas",
      description: "Versions that run, and whether each has the settings of its file in force.",
      kind: "table",
      width: 12,
      queries: [[`max by (${ofProcess}, pod, version, node) (attache_build_info)`, "{{pod}}"]],
      columns: {
        labels: {
          pod: "pod",
          version: "version",
          node: "Node",
          namespace: "namespace",
          installation: "installation",
          cluster: "cluster",
        },
      },
    },
    {
      title: "Leadership and settings",
      description: "Terms of leadership that began, settings that were refused, and bugs, which the log has.",
      kind: "bars",
      width: 12,
      queries: [
        [
          `sum by (${ofInstallation}) (increase(attache_leader_changes_total[$__rate_interval]))`,
          `terms ${installation}`,
        ],
        [
          `count by (${ofInstallation}) (attache_settings_last_reload_successful == 0)`,
          `settings refused ${installation}`,
        ],
        [
          `sum by (${ofInstallation}) (increase(attache_internal_errors_total[$__rate_interval])) > 0`,
          `bugs ${installation}`,
        ],
      ],
    },
  ],
};

/** All panels, in their order from top to bottom. */
export const rows: readonly Row[] = [isItWell, rotation, served, meshes, apiServer, processes];
