{{- /* Generated from src/kube/permissions.ts by `npm run generate`. */}}
{{- define "attache.rules" }}
  # reads MeshCertificates, and sets the finalizer that keeps a deleted one while it is in use
  - apiGroups: [attache.dev]
    resources: [meshcertificates]
    verbs: [list, watch, patch]
  # writes the status of each identity
  - apiGroups: [attache.dev]
    resources: [meshcertificates/status]
    verbs: [patch]
{{- if .names }}
  # publishes leaf and roots, and repairs them; attaché lists and watches metadata only, but the permission includes reading
  - apiGroups: [""]
    resources: [secrets]
    verbs: [list, watch, create]
  # publishes leaf and roots, and repairs them; attaché lists and watches metadata only, but the permission includes reading
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: {{ toJson .names.secrets }}
    verbs: [get, patch, delete]
{{- else }}
  # publishes leaf and roots, and repairs them; attaché lists and watches metadata only, but the permission includes reading
  - apiGroups: [""]
    resources: [secrets]
    verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .names }}
  # publishes and repairs TLSContexts
  - apiGroups: [getambassador.io]
    resources: [tlscontexts]
    verbs: [create]
  # publishes and repairs TLSContexts
  - apiGroups: [getambassador.io]
    resources: [tlscontexts]
    resourceNames: {{ toJson .names.tlscontexts }}
    verbs: [get, patch, delete]
{{- else }}
  # publishes and repairs TLSContexts
  - apiGroups: [getambassador.io]
    resources: [tlscontexts]
    verbs: [get, create, patch, delete]
{{- end }}
  # reports rotations and failures
  - apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create, patch]
{{- end }}
{{- define "attache.consumerRules" }}
  # keeps the names of TLSContexts unique, and detects consumers of missing ones
  - apiGroups: [getambassador.io]
    resources: [tlscontexts]
    verbs: [list, watch]
  # detects the consumers of an identity, and which are exposed
  - apiGroups: [getambassador.io]
    resources: [mappings]
    verbs: [list, watch]
  # detects the consumers of an identity, and which are exposed
  - apiGroups: [getambassador.io]
    resources: [tcpmappings]
    verbs: [list, watch]
  # detects the consumers of an identity, and which are exposed
  - apiGroups: [getambassador.io]
    resources: [authservices]
    verbs: [list, watch]
  # detects the consumers of an identity, and which are exposed
  - apiGroups: [getambassador.io]
    resources: [ratelimitservices]
    verbs: [list, watch]
  # detects the consumers of an identity, and which are exposed
  - apiGroups: [getambassador.io]
    resources: [hosts]
    verbs: [list, watch]
  # detects consumers in annotations that Emissary reads; attaché lists and watches metadata only
  - apiGroups: [""]
    resources: [services]
    verbs: [list, watch]
  # detects consumers in annotations that Emissary reads; attaché lists and watches metadata only
  - apiGroups: [networking.k8s.io]
    resources: [ingresses]
    verbs: [list, watch]
{{- end }}
{{- define "attache.touchRules" }}
  # sets one annotation on a Mapping whose cluster has missed a rotation
  - apiGroups: [getambassador.io]
    resources: [mappings]
    verbs: [get, patch]
  # sets one annotation on a Mapping whose cluster has missed a rotation
  - apiGroups: [getambassador.io]
    resources: [tcpmappings]
    verbs: [get, patch]
{{- end }}
{{- define "attache.ownRules" }}
  # elects the leader among replicas
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [create]
  # elects the leader among replicas
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [attache-{{ include "attache.installation" .root }}]
    verbs: [get, update]
{{- end }}
{{- define "attache.emissaryRules" }}
  # finds the Emissary pods, to read what they have loaded
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: [list, watch]
{{- end }}
