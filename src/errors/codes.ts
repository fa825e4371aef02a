/**
 * Every failure that attaché can report, by code: the one registry that `docs/errors.md` is generated from.
 *
 * `meaning` completes the sentence "this code says that …", `remedy` tells the reader what to do; an error
 * may carry a more precise remedy of its own. `exit` is the exit status of a command that ends with it
 * (1 where absent; 2: the caller's input is wrong, see sysexits for the tradition).
 */
export const codes = {
  ATTACHE_INTERNAL: {
    meaning: "attaché itself failed in a way that it does not know: a bug of ours, not of the mesh.",
    remedy: "Report it with the log line that carries this code; what is published stays as it is.",
  },
  ATTACHE_USAGE: {
    meaning: "the command line names an unknown command or option, or a value that makes no sense.",
    remedy: "Run the command with --help.",
    exit: 2,
  },
  ATTACHE_DOCUMENT_INVALID: {
    meaning: "a YAML document (settings or MeshCertificate) does not parse or does not fit its schema.",
    remedy: "Correct the places that the error names by file, line and column.",
    exit: 2,
  },
  ATTACHE_CREDENTIAL_MALFORMED: {
    meaning: "key, certificate or bundle bytes are not what their format says.",
    remedy: "Look at what the mesh sends; attaché keeps the last good credential meanwhile.",
  },
  ATTACHE_MESH_UNKNOWN: {
    meaning:
      "a MeshCertificate names a mesh that is not configured, or a mesh names an adapter that does not exist.",
    remedy: "Configure the mesh under `meshes:`, or correct `spec.mesh`.",
  },
  ATTACHE_MESH_PLUGIN: {
    meaning: "an npm module that a mesh names as its adapter cannot be loaded, or exports none.",
    remedy:
      "Correct the module, or the name in the settings: it must export an `adapter` of the port `attache/adapter`.",
  },
  ATTACHE_MESH_UNREACHABLE: {
    meaning: "no connection to the mesh's control plane or agent.",
    remedy: "Check the address, the socket, the network, and that the control plane runs.",
  },
  ATTACHE_MESH_UNAVAILABLE: {
    meaning: "the control plane answers, but says that it cannot serve now (no leader, CA not ready, 5xx).",
    remedy: "Look at the control plane's own health; attaché retries by itself.",
  },
  ATTACHE_MESH_RATE_LIMITED: {
    meaning: "the control plane asks for fewer requests.",
    remedy: "Nothing at once: attaché backs off. If it stays, raise the control plane's limit.",
  },
  ATTACHE_MESH_UNAUTHENTICATED: {
    meaning: "the control plane does not accept the token or client certificate.",
    remedy: "Check that the configured token exists, is current and belongs to this control plane.",
  },
  ATTACHE_MESH_FORBIDDEN: {
    meaning: "the control plane knows who asks and refuses this identity to them.",
    remedy: "Grant the permission that the message names to attaché's token.",
  },
  ATTACHE_MESH_TLS: {
    meaning: "the TLS handshake with the control plane failed.",
    remedy: "Check the CA file, the server name and the client certificate in the mesh's settings.",
  },
  ATTACHE_MESH_TIMEOUT: {
    meaning: "the control plane took the request and did not answer in time.",
    remedy: "Look at the control plane's load and the network in between; attaché retries by itself.",
  },
  ATTACHE_MESH_MALFORMED: {
    meaning: "the control plane's answer is not what its protocol says, is cut, or is too large.",
    remedy: "Check that the address is that of the mesh and not of something else, and its version.",
  },
  ATTACHE_MESH_TOKEN: {
    meaning: "no token of the identity's ServiceAccount could be had, with which the mesh would know it.",
    remedy:
      "Check that the ServiceAccount exists in the MeshCertificate's namespace and that attaché may create `serviceaccounts/token` for it.",
  },
  ATTACHE_MESH_CLUSTER: {
    meaning: "what the mesh's adapter must know of the Kubernetes cluster cannot be read.",
    remedy: "Grant the permission that the message names, or let attaché reach the API server.",
  },
  ATTACHE_MESH_IDENTITY_REFUSED: {
    meaning: "this mode of the adapter cannot give the identity that is asked for.",
    remedy: "Ask for an identity that the mode can give, or use the mode that the message names.",
  },
  ATTACHE_NOT_ALLOWED: {
    meaning:
      "a MeshCertificate asks for what its namespace may not have: no rule under `allow:` in the settings grants this identity of this mesh under this TLSContext's name. Nothing is asked of the mesh; what is published stays, and is not renewed.",
    remedy: "Add the rule that the message shows to `allow:`, or ask for what the namespace may have.",
  },
  ATTACHE_STORE_UNREADABLE: {
    meaning: "the store cannot be read: a folder, file or API that must be there is not, or refuses.",
    remedy: "Check that the path exists and that attaché may read it.",
  },
  ATTACHE_STORE_UNWRITABLE: {
    meaning: "the store does not take a write: read-only, full, forbidden.",
    remedy: "Free space or grant the permission that the message names; attaché retries by itself.",
  },
  ATTACHE_STORE_TARGET_TAKEN: {
    meaning: "an object of the target's name exists and belongs to somebody else; it was not touched.",
    remedy: "Choose another name under `spec.target`, or remove the other object.",
  },
  ATTACHE_STORE_LOCKED: {
    meaning: "another attaché works on the same folder.",
    remedy: "Stop the other process, or give this one a folder of its own.",
    exit: 3,
  },
  ATTACHE_STORE_IN_USE: {
    meaning: "what is to be withdrawn is still used, or may be: nothing of it was deleted.",
    remedy:
      'Remove the `tls:` of those that use it, or annotate the MeshCertificate with attache.dev/force-delete: "true".',
  },
  ATTACHE_STORE_ORPHANED: {
    meaning: "a MeshCertificate was taken away by force, and what was published for it is still used.",
    remedy:
      "Create the MeshCertificate again, under its name: it goes on from what is published. Or remove the `tls:` of those that use it.",
  },
  ATTACHE_STORE_FIGHTING: {
    meaning: "somebody keeps undoing what attaché publishes, and attaché keeps repairing it.",
    remedy: "Find out who it is, and have them leave the object alone.",
  },
  ATTACHE_STORE_DEPOSED: {
    meaning: "another replica leads, and this one must not write any more.",
    remedy: "Nothing: the other one goes on from what is published.",
  },
  ATTACHE_KUBERNETES_CONFIG: {
    meaning:
      "how to reach the cluster, or as whom, is not known: no pod's token, no kubeconfig, or one that does not work.",
    remedy: "Run attaché in a pod with a ServiceAccount, or give a kubeconfig that kubectl works with.",
  },
  ATTACHE_KUBERNETES_UNREACHABLE: {
    meaning: "no connection to the API server.",
    remedy: "Check the address, the network (NetworkPolicies, proxies), and that the API server runs.",
  },
  ATTACHE_KUBERNETES_TLS: {
    meaning: "the TLS handshake with the API server failed.",
    remedy:
      "Check the CA and the client certificate in the kubeconfig, and that the address is the API server's.",
  },
  ATTACHE_KUBERNETES_TIMEOUT: {
    meaning: "the API server took the request and did not answer in time.",
    remedy: "Look at the load of the API server and of etcd; attaché retries by itself.",
  },
  ATTACHE_KUBERNETES_UNAVAILABLE: {
    meaning: "the API server answers that it cannot serve now (5xx): it starts, it ends, or etcd is away.",
    remedy: "Look at the API server's and etcd's own health; attaché retries by itself.",
  },
  ATTACHE_KUBERNETES_THROTTLED: {
    meaning: "the API server asks for fewer requests (429, API Priority and Fairness).",
    remedy:
      "Nothing at once: attaché waits as long as it is asked to. If it stays, give attaché's ServiceAccount a FlowSchema of its own.",
  },
  ATTACHE_KUBERNETES_UNAUTHENTICATED: {
    meaning: "the API server does not accept the token or client certificate.",
    remedy:
      "Check that the ServiceAccount exists, or log in again (kubectl auth whoami); compare the clocks.",
  },
  ATTACHE_KUBERNETES_FORBIDDEN: {
    meaning: "RBAC refuses the verb, resource and namespace that the message names.",
    remedy: "Grant it in a Role; the chart's Roles have all that attaché needs.",
  },
  ATTACHE_KUBERNETES_DENIED: {
    meaning: "an admission policy or webhook of the cluster refuses the object.",
    remedy:
      "Change the MeshCertificate so that what is published fits the policy, or except attaché from it.",
  },
  ATTACHE_KUBERNETES_QUOTA: {
    meaning: "a ResourceQuota of the namespace leaves no room for the object.",
    remedy:
      "Raise the quota that the message names, or remove what is not needed; attaché retries by itself.",
  },
  ATTACHE_KUBERNETES_NAMESPACE_ENDS: {
    meaning: "the namespace is being deleted and takes nothing new.",
    remedy: "Nothing, if the deletion is meant: the identities in it go with it.",
  },
  ATTACHE_KUBERNETES_NOT_FOUND: {
    meaning: "the object, or the namespace that it is to be in, does not exist.",
    remedy: "Check the name and the namespace.",
  },
  ATTACHE_KUBERNETES_KIND_UNKNOWN: {
    meaning: "the API server does not know the kind of object: its CRD is not installed.",
    remedy: "Install the CRD (ours: `attache crd | kubectl apply -f -`); attaché goes on by itself then.",
  },
  ATTACHE_KUBERNETES_EXISTS: {
    meaning: "an object of that name exists already.",
    remedy: "Choose another name, or remove the object.",
  },
  ATTACHE_KUBERNETES_CONFLICT: {
    meaning: "somebody else changed the object meanwhile.",
    remedy: "Nothing: attaché looks at it again and decides anew.",
  },
  ATTACHE_KUBERNETES_DEPOSED: {
    meaning: "this process no longer leads: its lease could not be renewed in time, was taken or deleted.",
    remedy: "Nothing: it stands by. If it happens often, look at the load of the API server and of the node.",
  },
  ATTACHE_KUBERNETES_EXPIRED: {
    meaning: "what was asked for goes on from a state that the API server has forgotten.",
    remedy: "Nothing: attaché lists again.",
  },
  ATTACHE_KUBERNETES_INVALID: {
    meaning: "the API server finds the object or the request invalid, or it is too large.",
    remedy: "Correct what the message names; if nobody wrote it by hand, report it.",
  },
  ATTACHE_KUBERNETES_MALFORMED: {
    meaning: "an answer is not what the Kubernetes API says, is cut, or is too large.",
    remedy: "Check that the address is the API server's, and whether a proxy stands in between.",
  },
  ATTACHE_INGRESS_UNREACHABLE: {
    meaning:
      "no connection to the metrics of an ingress pod, or it broke: what the pod has loaded is not known.",
    remedy:
      "Let attaché's pods reach the port of `emissary:` in the ingress's namespace (NetworkPolicies), and check the port.",
  },
  ATTACHE_INGRESS_TIMEOUT: {
    meaning: "an ingress pod did not send its metrics whole in time.",
    remedy: "Look at the load and the throttling of the ingress pod; attaché asks again by itself.",
  },
  ATTACHE_INGRESS_MALFORMED: {
    meaning: "what answers at the address of an ingress pod's metrics is not Emissary with its Envoy.",
    remedy: "Correct `service`, `port` and `path` under `emissary:` in the settings.",
  },
  ATTACHE_SERVER_LISTEN: {
    meaning: "health and metrics cannot be served at the configured address.",
    remedy: "Choose another one with `server.listen`, or stop whoever listens there.",
  },
  ATTACHE_SERVER_NOT_FOUND: {
    meaning: "the server has nothing at the path that was asked for.",
    remedy: "Ask for /livez, /readyz or /metrics.",
  },
  ATTACHE_SERVER_METHOD: {
    meaning: "the server was asked with another method than GET or HEAD.",
    remedy: "Use GET; nothing can be changed through the server.",
  },
  ATTACHE_SERVER_REQUEST: {
    meaning: "a request is malformed, too large or too slow.",
    remedy: "Look at who sends it; probes and scrapes are small and quick.",
  },
  ATTACHE_RENDER_INCOMPLETE: {
    meaning: "`attache render` did not get every credential in time, and printed nothing.",
    remedy: "Mend what the lines say of each identity, or give it longer with --timeout.",
  },
} as const satisfies Record<string, CodeEntry>;

export interface CodeEntry {
  readonly meaning: string;
  readonly remedy: string;
  readonly exit?: number;
}

export type Code = keyof typeof codes;
