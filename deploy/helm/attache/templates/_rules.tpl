{{- /* Generated from src/kube/permissions.ts by `npm run generate`. */}}
{{- define "attache.rules" }}
  - { apiGroups: [attache.dev], resources: [meshcertificates], verbs: [patch] } # sets the finalizer that keeps a deleted MeshCertificate while it is in use
{{- if .names }}
  - { apiGroups: [""], resources: [secrets], verbs: [list, watch, create] } # publishes leaf and roots, and repairs them; attaché lists and watches metadata only, but the permission includes reading
  - { apiGroups: [""], resources: [secrets], resourceNames: {{ toJson .names.secrets }}, verbs: [get, patch, delete] } # publishes leaf and roots, and repairs them; attaché lists and watches metadata only, but the permission includes reading
{{- else }}
  - { apiGroups: [""], resources: [secrets], verbs: [get, list, watch, create, patch, delete] } # publishes leaf and roots, and repairs them; attaché lists and watches metadata only, but the permission includes reading
{{- end }}
{{- if .names }}
  - { apiGroups: [getambassador.io], resources: [tlscontexts], verbs: [create] } # publishes and repairs TLSContexts
  - { apiGroups: [getambassador.io], resources: [tlscontexts], resourceNames: {{ toJson .names.tlscontexts }}, verbs: [get, patch, delete] } # publishes and repairs TLSContexts
{{- else }}
  - { apiGroups: [getambassador.io], resources: [tlscontexts], verbs: [get, create, patch, delete] } # publishes and repairs TLSContexts
{{- end }}
  - { apiGroups: [events.k8s.io], resources: [events], verbs: [create, patch] } # reports rotations and failures
{{- end }}
{{- define "attache.consumerRules" }}
  - { apiGroups: [attache.dev], resources: [meshcertificates], verbs: [list, watch] } # reads MeshCertificates, also those that attaché may no longer renew
  - { apiGroups: [attache.dev], resources: [meshcertificates/status], verbs: [patch] } # writes the status of each identity
  - { apiGroups: [getambassador.io], resources: [tlscontexts], verbs: [list, watch] } # keeps the names of TLSContexts unique, and detects consumers of missing ones
  - { apiGroups: [getambassador.io], resources: [mappings, tcpmappings, authservices, ratelimitservices, hosts], verbs: [list, watch] } # detects the consumers of an identity, and which are exposed
  - { apiGroups: [getambassador.io], resources: [modules], verbs: [list, watch] } # detects whether a Module names a published Secret, or takes the place of one
  - { apiGroups: [""], resources: [services], verbs: [list, watch] } # detects consumers in annotations that Emissary reads; attaché lists and watches metadata only
  - { apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [list, watch] } # detects consumers in annotations that Emissary reads, and Secrets that spec.tls names
{{- end }}
{{- define "attache.touchRules" }}
  - { apiGroups: [getambassador.io], resources: [mappings, tcpmappings], verbs: [get, patch] } # sets one annotation on a Mapping whose cluster has missed a rotation
{{- end }}
{{- define "attache.ownRules" }}
  - { apiGroups: [events.k8s.io], resources: [events], verbs: [create] } # reports settings that it refuses
  - { apiGroups: [events.k8s.io], resources: [events], resourceNames: [attache-{{ include "attache.installation" .root }}], verbs: [patch] } # reports settings that it refuses
  - { apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create] } # elects the leader among replicas
  - { apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [attache-{{ include "attache.installation" .root }}], verbs: [get, update] } # elects the leader among replicas
{{- end }}
{{- define "attache.emissaryRules" }}
  - { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch] } # finds the Emissary pods, to read what they have loaded
{{- end }}

{{- define "attache.consoleRules" }}
  - { apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create] } # finds out whose token a request to the console has, and whether its user may list MeshCertificates
  - { apiGroups: [authorization.k8s.io], resources: [subjectaccessreviews], verbs: [create] } # finds out whose token a request to the console has, and whether its user may list MeshCertificates
{{- end }}