{{- define "attache.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- /* OpenShift chooses user and group of a pod by its namespace, and refuses a pod that names others. */}}
{{- define "attache.adapted" -}}
{{- $adapts := .root.Values.adaptSecurityContext }}
{{- if or (eq $adapts "force") (and (eq $adapts "auto") (.root.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}
{{- omit (.context | default dict) "runAsUser" "runAsGroup" "fsGroup" | toJson }}
{{- else }}{{ .context | default dict | toJson }}{{ end }}
{{- end }}

{{- define "attache.podSecurityContext" -}}
{{- include "attache.adapted" (dict "root" . "context" .Values.podSecurityContext) }}
{{- end }}

{{- define "attache.securityContext" -}}
{{- include "attache.adapted" (dict "root" . "context" .Values.securityContext) }}
{{- end }}

{{- /* The parts of a pod that Deployment, hooks and test have in common: where it may run, and as which account. */}}
{{- define "attache.podCommon" }}
serviceAccountName: {{ .account | default (include "attache.serviceAccount" .) }}
securityContext: {{ include "attache.podSecurityContext" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases: {{ toJson . }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig: {{ toJson . }}
{{- end }}
{{- end }}

{{- /* The parts of a container that runs attaché with the settings of the release. */}}
{{- define "attache.containerCommon" }}
image: {{ include "attache.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{ include "attache.securityContext" . }}
env:
  - { name: ATTACHE_CONFIG, value: /etc/attache/attache.yaml }
  - { name: POD_UID, valueFrom: { fieldRef: { fieldPath: metadata.uid } } }
  {{- with .Values.env }}{{ toYaml . | nindent 2 }}{{ end }}
resources: {{ toJson .Values.resources }}
volumeMounts:
  - { name: settings, mountPath: /etc/attache, readOnly: true }
  {{- with concat (include "attache.meshes" . | fromYaml).mounts (.Values.volumeMounts | default list) }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- define "attache.volumes" }}
- name: settings
  configMap: { name: {{ include "attache.name" . }} }
{{- with concat (include "attache.meshes" . | fromYaml).volumes (.Values.volumes | default list) }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end }}
