{{- define "attache.name" -}}
{{- $name := .Values.nameOverride | default .Chart.Name }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "attache.installation" -}}
{{ .Values.installation | default .Release.Name }}
{{- end }}

{{- define "attache.serviceAccount" -}}
{{- $default := ternary (include "attache.name" .) "default" .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default $default }}
{{- end }}

{{/* As JSON, as are the labels: one line in each object. */}}
{{- define "attache.selector" -}}
{{- dict "app.kubernetes.io/name" (.Values.nameOverride | default .Chart.Name) "app.kubernetes.io/instance" .Release.Name | toJson }}
{{- end }}

{{- define "attache.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_")
  "app.kubernetes.io/managed-by" .Release.Service }}
{{- merge (include "attache.selector" . | fromJson) $own (.Values.commonLabels | default dict) | toJson }}
{{- end }}

{{/* The namespaces that attaché acts in, as a YAML list; empty: all of them. */}}
{{- define "attache.namespaces" -}}
{{- if has "*" .Values.namespaces -}}
[]
{{- else -}}
{{- $namespaces := .Values.namespaces | default (list .Release.Namespace) }}
{{- range .Values.identities }}
{{- $namespaces = append $namespaces (.namespace | default $.Release.Namespace) }}
{{- end }}
{{- toYaml ($namespaces | uniq) -}}
{{- end -}}
{{- end }}

{{/* The name of the source of a MeshCertificate's spec. */}}
{{- define "attache.source" -}}
{{- range $source := list "consul" "istio" "spiffe" "plugin" }}{{ if hasKey $ $source }}{{ $source }}{{ end }}{{ end -}}
{{- end }}

{{/* The SPIFFE IDs that a MeshCertificate asks for, as its adapter tells them: see the adapters' `expected`. */}}
{{- define "attache.expected" -}}
{{- $spec := .spec }}
{{- if $spec.consul -}}
{{- $partition := $spec.consul.partition | default "default" -}}
{{- /* Escaped as Consul does it, with Go's url.URL. */ -}}
{{- $service := urlJoin (dict "host" "x" "path" (printf "/%s" $spec.consul.service)) | trimPrefix "//x/" | replace "/" "%2F" -}}
spiffe://*{{ if ne $partition "default" }}/ap/{{ $partition }}{{ end }}/ns/{{ $spec.consul.namespace | default "default" }}/dc/*/svc/{{ $service }}
{{- else if hasKey $spec "istio" -}}
spiffe://*/ns/{{ if ($spec.istio).serviceAccount }}{{ .namespace }}{{ else }}*{{ end }}/sa/{{ ($spec.istio).serviceAccount | default "*" }}
{{- else if hasKey $spec "spiffe" -}}
{{ ($spec.spiffe).id | default "spiffe://**" }}
{{- else -}}
spiffe://**
{{- end -}}
{{- end }}

{{/* The names of the objects that an identity publishes, as a YAML list: the TLSContext, then the Secrets. */}}
{{- define "attache.targetNames" -}}
{{- $target := dig "target" dict .spec -}}
{{- toYaml (compact (list
  (dig "tlsContext" "name" .name $target)
  (get $target "secret" | default (printf "%s-mesh-cert" .name))
  (get $target "caSecret" | default (printf "%s-mesh-ca" .name))
  (get $target "crlSecret"))) -}}
{{- end }}

{{/* By namespace, the names of the Secrets and TLSContexts that the identities publish, as YAML. */}}
{{- define "attache.targets" -}}
{{- $targets := dict }}
{{- range .Values.identities }}
{{- $namespace := .namespace | default $.Release.Namespace }}
{{- $names := include "attache.targetNames" . | fromYamlArray }}
{{- $known := get $targets $namespace | default (dict "secrets" list "tlscontexts" list) }}
{{- $_ := set $targets $namespace (dict
  "secrets" (concat $known.secrets (rest $names) | uniq)
  "tlscontexts" (append $known.tlscontexts (first $names) | uniq)) }}
{{- end }}
{{- toYaml $targets -}}
{{- end }}

{{- /* The value `emissary`; Mappings are touched by default where a policy admits nothing but the annotation. */}}
{{- define "attache.emissaries" }}
{{- range .Values.emissary }}
{{- $touchMappings := dig "touchMappings" $.Values.rbac.admissionPolicy . }}
- {{ set (deepCopy .) "touchMappings" $touchMappings | toJson }}
{{- end }}
{{- end }}
