/**
 * All error codes of attaché; `docs/errors.md` is generated from them.
 *
 * `meaning` completes "this code means that …". `remedy` is the default for errors without a more precise
 * one. `exit` is the exit status of a command that ends with the error: 1 by default, 2 for wrong input.
 */
export const codes = {
  ATTACHE_INTERNAL: {
    meaning: "attaché failed in a way that it does not handle: a bug in attaché, not in the mesh.",
    remedy: "Report it with the log line that has this code. Published objects stay as they are.",
  },
  ATTACHE_USAGE: {
    meaning: "the command line has an unknown command or option, or a value that is not valid.",
    remedy: "Run the command with --help.",
    exit: 2,
  },
  ATTACHE_DOCUMENT_INVALID: {
    meaning: "a YAML document (settings or MeshCertificate) does not parse or does not match its schema.",
    remedy: "Correct the places that the error lists.",
    exit: 2,
  },
  ATTACHE_CREDENTIAL_MALFORMED: {
    meaning: "a key, a certificate or a bundle is not in the format that it claims.",
    remedy: "Check what the mesh sends. attaché keeps the last good credential.",
  },
  ATTACHE_MESH_UNKNOWN: {
    meaning:
      "a MeshCertificate names a mesh that is not configured, or a mesh names an adapter that does not exist.",
    remedy: "Configure the mesh under `meshes:`, or correct `spec.mesh`.",
  },
  ATTACHE_MESH_PLUGIN: {
    meaning: "an npm module that a mesh names as its adapter cannot be loaded or does not export an adapter.",
    remedy:
      "Correct the module or its name in the settings. The module must export an `adapter` of the type in `attache/adapter`.",
  },
  ATTACHE_MESH_UNREACHABLE: {
    meaning: "attaché cannot connect to the control plane or agent of the mesh.",
    remedy: "Check the address, the socket, the network, and that the control plane runs.",
  },
  ATTACHE_MESH_UNAVAILABLE: {
    meaning: "the control plane answers that it cannot serve now (no leader, CA not ready, 5xx).",
    remedy: "Check the health of the control plane. attaché retries automatically.",
  },
  ATTACHE_MESH_RATE_LIMITED: {
    meaning: "the control plane limits the rate of requests.",
    remedy: "Wait: attaché backs off. If it persists, raise the limit of the control plane.",
  },
  ATTACHE_MESH_UNAUTHENTICATED: {
    meaning: "the control plane rejects the token or the client certificate.",
    remedy: "Check that the configured token exists, is current and belongs to this control plane.",
  },
  ATTACHE_MESH_FORBIDDEN: {
    meaning: "the control plane accepts attaché's token but refuses it this identity.",
    remedy: "Grant the permission that the message names to attaché's token.",
  },
  ATTACHE_MESH_TLS: {
    meaning: "the TLS handshake with the control plane failed.",
    remedy: "Check the CA file, the server name and the client certificate in the settings of the mesh.",
  },
  ATTACHE_MESH_TIMEOUT: {
    meaning: "the control plane accepted the request but did not answer in time.",
    remedy: "Check the load of the control plane and the network. attaché retries automatically.",
  },
  ATTACHE_MESH_MALFORMED: {
    meaning: "the answer of the control plane does not follow its protocol, is truncated, or is too large.",
    remedy: "Check that the address belongs to the mesh, and check the version of the control plane.",
  },
  ATTACHE_MESH_TOKEN: {
    meaning:
      "attaché cannot get a token of the identity's ServiceAccount, which it needs to authenticate to the mesh.",
    remedy:
      "Check that the ServiceAccount exists in the namespace of the MeshCertificate, and that attaché may create `serviceaccounts/token` for it.",
  },
  ATTACHE_MESH_CLUSTER: {
    meaning: "the adapter cannot read the objects of the Kubernetes cluster that it needs.",
    remedy: "Grant the permission that the message names, or let attaché reach the API server.",
  },
  ATTACHE_MESH_IDENTITY_REFUSED: {
    meaning: "this mode of the adapter cannot provide the requested identity.",
    remedy: "Request an identity that the mode can provide, or use the mode that the message names.",
  },
  ATTACHE_NOT_ALLOWED: {
    meaning:
      "no rule under `allow:` in the settings grants this namespace the identity, the mesh and the TLSContext name that the MeshCertificate requests. attaché sends no request to the mesh. Published objects stay and are not renewed.",
    remedy:
      "Add the rule that the message shows to `allow:`, or request an identity that the namespace may have.",
  },
  ATTACHE_STORE_UNREADABLE: {
    meaning: "attaché cannot read the store: a required folder, file or API is missing or denies access.",
    remedy: "Check that the path exists and that attaché may read it.",
  },
  ATTACHE_STORE_UNWRITABLE: {
    meaning: "the store rejects a write: it is read-only or full, or access is denied.",
    remedy: "Free space, or grant the permission that the message names. attaché retries automatically.",
  },
  ATTACHE_STORE_TARGET_TAKEN: {
    meaning:
      "an object with the name of the target exists and does not belong to this identity. attaché did not change it.",
    remedy: "Choose another name under `spec.target`, or remove the other object.",
  },
  ATTACHE_STORE_LOCKED: {
    meaning: "another attaché uses the same folder.",
    remedy: "Stop the other process, or give this one its own folder.",
    exit: 3,
  },
  ATTACHE_STORE_IN_USE: {
    meaning: "an object that attaché would withdraw is in use, or may be. attaché deleted nothing.",
    remedy:
      'Remove the `tls:` of the consumers, or annotate the MeshCertificate with attache.dev/force-delete: "true".',
  },
  ATTACHE_PREFLIGHT: {
    meaning: "an upgrade or uninstallation of the chart would leave published objects without attaché.",
    remedy:
      "Remove the `tls:` of the consumers first. For an identity that is to go later, set `retire: true` under `identities`. `--no-hooks` skips this check.",
    exit: 3,
  },
  ATTACHE_STORE_ORPHANED: {
    meaning:
      "the finalizer of a MeshCertificate was removed by force while its published objects are in use.",
    remedy:
      "Create the MeshCertificate again under the same name, which continues from the published objects. Or remove the `tls:` of the consumers.",
  },
  ATTACHE_STORE_CONTENTION: {
    meaning:
      "another client keeps changing objects that attaché publishes, and attaché keeps repairing them.",
    remedy: "Find the client by the field manager in the message, and stop it from changing the object.",
  },
  ATTACHE_STORE_TOO_MANY: {
    meaning: "the namespace has more MeshCertificates than attaché serves. Those above the limit wait.",
    remedy: "Remove others of the namespace, or raise `limits.identitiesPerNamespace` in the settings.",
  },
  ATTACHE_STORE_DEPOSED: {
    meaning: "another replica leads, so this one must not write.",
    remedy: "No action is needed: the leader continues from the published objects.",
  },
  ATTACHE_KUBERNETES_CONFIG: {
    meaning:
      "attaché has no usable access to a cluster: no ServiceAccount token of a pod and no working kubeconfig.",
    remedy: "Run attaché in a pod with a ServiceAccount, or pass a kubeconfig that works with kubectl.",
  },
  ATTACHE_KUBERNETES_UNREACHABLE: {
    meaning: "attaché cannot connect to the API server.",
    remedy: "Check the address, the network (NetworkPolicies, proxies), and that the API server runs.",
  },
  ATTACHE_KUBERNETES_TLS: {
    meaning: "the TLS handshake with the API server failed.",
    remedy:
      "Check the CA and the client certificate in the kubeconfig, and that the address is the API server's.",
  },
  ATTACHE_KUBERNETES_TIMEOUT: {
    meaning: "the API server accepted the request but did not answer in time.",
    remedy: "Check the load of the API server and of etcd. attaché retries automatically.",
  },
  ATTACHE_KUBERNETES_UNAVAILABLE: {
    meaning:
      "the API server answers that it cannot serve now (5xx): it starts, it stops, or it cannot reach etcd.",
    remedy: "Check the health of the API server and of etcd. attaché retries automatically.",
  },
  ATTACHE_KUBERNETES_THROTTLED: {
    meaning: "the API server limits the rate of requests (429, API Priority and Fairness).",
    remedy:
      "Wait: attaché waits as long as the API server asks. If it persists, add a FlowSchema for attaché's ServiceAccount.",
  },
  ATTACHE_KUBERNETES_UNAUTHENTICATED: {
    meaning: "the API server rejects the token or the client certificate.",
    remedy:
      "Check that the ServiceAccount exists, or log in again (kubectl auth whoami). Compare the clocks.",
  },
  ATTACHE_KUBERNETES_FORBIDDEN: {
    meaning: "RBAC denies the verb, resource and namespace that the message names.",
    remedy: "Grant it in a Role. The Roles of the chart contain all permissions that attaché needs.",
  },
  ATTACHE_KUBERNETES_DENIED: {
    meaning: "an admission policy or webhook of the cluster rejects the object.",
    remedy:
      "Change the MeshCertificate so that the published objects comply with the policy, or exempt attaché from it.",
  },
  ATTACHE_KUBERNETES_QUOTA: {
    meaning: "a ResourceQuota of the namespace leaves no room for the object.",
    remedy:
      "Raise the quota that the message names, or delete unused objects. attaché retries automatically.",
  },
  ATTACHE_KUBERNETES_NAMESPACE_ENDS: {
    meaning: "the namespace is being deleted and accepts no new objects.",
    remedy:
      "If the deletion is intended, no action is needed: the identities in the namespace are deleted with it.",
  },
  ATTACHE_KUBERNETES_NOT_FOUND: {
    meaning: "the object or its namespace does not exist.",
    remedy: "Check the name and the namespace.",
  },
  ATTACHE_KUBERNETES_KIND_UNKNOWN: {
    meaning: "the API server does not know the kind of the object: its CRD is not installed.",
    remedy:
      "Install the CRD (for MeshCertificate: `attache crd | kubectl apply -f -`). attaché then continues automatically.",
  },
  ATTACHE_KUBERNETES_EXISTS: {
    meaning: "an object with that name already exists.",
    remedy: "Choose another name, or remove the object.",
  },
  ATTACHE_KUBERNETES_CONFLICT: {
    meaning: "another client changed the object in the meantime.",
    remedy: "No action is needed: attaché reads the object again and decides again.",
  },
  ATTACHE_KUBERNETES_DEPOSED: {
    meaning:
      "this process no longer leads: its lease could not be renewed in time, was taken over, or was deleted.",
    remedy:
      "No action is needed: the process waits as a standby. If it happens often, check the load of the API server and of the node.",
  },
  ATTACHE_KUBERNETES_EXPIRED: {
    meaning: "the request continues from a resourceVersion that the API server has discarded.",
    remedy: "No action is needed: attaché lists again.",
  },
  ATTACHE_KUBERNETES_INVALID: {
    meaning: "the API server rejects the object or the request as invalid or too large.",
    remedy: "Correct the field that the message names. If no user wrote it, report a bug.",
  },
  ATTACHE_KUBERNETES_MALFORMED: {
    meaning: "an answer does not follow the Kubernetes API, is truncated, or is too large.",
    remedy: "Check that the address is the API server's, and whether a proxy answers instead.",
  },
  ATTACHE_INGRESS_UNREACHABLE: {
    meaning:
      "attaché cannot read the metrics of an Emissary pod, so it does not know what the pod has loaded.",
    remedy:
      "Allow attaché's pods to reach the port under `emissary:` in Emissary's namespace (NetworkPolicies), and check the port.",
  },
  ATTACHE_INGRESS_TIMEOUT: {
    meaning: "an Emissary pod did not send its complete metrics in time.",
    remedy: "Check the load and the CPU throttling of the pod. attaché retries automatically.",
  },
  ATTACHE_INGRESS_MALFORMED: {
    meaning: "the process at the metrics address of an Emissary pod is not Emissary with its Envoy.",
    remedy: "Correct `service`, `port` and `path` under `emissary:` in the settings.",
  },
  ATTACHE_SERVER_BUSY: {
    meaning: "as many pages of the console are open as attaché serves at the same time.",
    remedy: "Close other pages of the console, or try again in half a minute.",
  },
  ATTACHE_SERVER_FORBIDDEN: {
    meaning: "the token of a request to the console may not list MeshCertificates.",
    remedy: "Grant the user `list` on meshcertificates.attache.dev in each namespace that attaché acts in.",
  },
  ATTACHE_SERVER_HOST: {
    meaning:
      "a request to the console names a host other than this machine, or comes from the page of another site.",
    remedy: "Open http://localhost:PORT or http://127.0.0.1:PORT, as `attache console` does.",
  },
  ATTACHE_SERVER_LISTEN: {
    meaning: "attaché cannot serve health and metrics, or the console, at the configured address.",
    remedy:
      "Choose another address with `server.listen` or `console.listen`, or stop the process that listens there.",
  },
  ATTACHE_SERVER_NOT_FOUND: {
    meaning: "the server has no page at the requested path.",
    remedy: "Request /livez, /readyz or /metrics.",
  },
  ATTACHE_SERVER_METHOD: {
    meaning: "the request has a method other than GET or HEAD.",
    remedy: "Use GET. The server does not change anything.",
  },
  ATTACHE_SERVER_REQUEST: {
    meaning: "a request is malformed, too large or too slow.",
    remedy: "Check which client sends it. Probes and scrapes are small and fast.",
  },
  ATTACHE_SERVER_TOKEN: {
    meaning: "a request to the console has no bearer token that the API server accepts.",
    remedy: "Send a token of a user or ServiceAccount: kubectl create token NAME.",
  },
  ATTACHE_RENDER_INCOMPLETE: {
    meaning: "`attache render` did not get every credential in time and printed nothing.",
    remedy: "Resolve the problems that the message lists, or extend the time with --timeout.",
  },
} as const satisfies Record<string, CodeEntry>;

export interface CodeEntry {
  readonly meaning: string;
  readonly remedy: string;
  readonly exit?: number;
}

export type Code = keyof typeof codes;
