{{- /*
What the enabled meshes need, as YAML: `settings` for attaché, and of its pod `volumes`, `mounts`, `labels` and
`annotations`; `configMaps` of its namespace that it reads. The names are those of the meshes' own charts.
*/}}
{{- define "attache.meshes" -}}
{{- /* Without these, the webhooks of a mesh may put a proxy between attaché and all that it asks. */}}
{{- $labels := dict "sidecar.istio.io/inject" "false" }}
{{- $annotations := dict "consul.hashicorp.com/connect-inject" "false" }}
{{- $needs := dict "settings" dict "volumes" list "mounts" list "labels" $labels "annotations" $annotations "configMaps" list }}
{{- $env := list }}
{{- range .Values.env }}{{ $env = append $env .name }}{{ end }}
{{- range $name, $mesh := .Values.meshes }}
{{- if $mesh.enabled }}
{{- $settings := omit (deepCopy $mesh) "enabled" "release" "caSecret" "csiDriver" }}
{{- $_ := set $needs.settings $name $settings }}
{{- $each := dict "name" $name "mesh" $mesh "settings" $settings "needs" $needs "env" $env }}
{{- if eq $mesh.adapter "consul" }}{{ include "attache.consul" $each }}
{{- else if eq $mesh.adapter "istio" }}{{ include "attache.istio" $each }}
{{- else if eq $mesh.adapter "spiffe" }}{{ include "attache.spiffe" $each }}
{{- end }}
{{- end }}
{{- end }}
{{- $configured := merge (deepCopy $needs.settings) (dig "meshes" dict (.Values.settings | default dict)) }}
{{- if not $configured }}
{{- fail "no mesh is enabled: set `meshes.consul.enabled`, `meshes.istio.enabled` or `meshes.spiffe.enabled` to true; the folder `examples` of the chart has values for each" }}
{{- end }}
{{- include "attache.checkIdentities" (dict "root" . "configured" $configured) }}
{{- toYaml $needs -}}
{{- end }}

{{- /* consul-k8s: gRPC at port 8502 of NAME-server, CA in NAME-ca-cert, auth method NAME-k8s-auth-method. */}}
{{- define "attache.consul" -}}
{{- $key := printf "meshes.%s" .name }}
{{- $settings := .settings }}
{{- $secret := .mesh.caSecret }}
{{- $client := .mesh.tls | default dict }}
{{- if ne (empty $client.certFile) (empty $client.keyFile) }}
{{- fail (printf "%s.tls needs both `certFile` and `keyFile`, or neither" $key) }}
{{- end }}
{{- if eq (.mesh.mode | default "grpc") "http" }}
{{- if not (or .mesh.address (has "CONSUL_HTTP_ADDR" .env)) }}
{{- fail (printf "%s.address is missing: with `mode: http` it names the HTTP API of one Consul agent" $key) }}
{{- end }}
{{- else if .mesh.release }}
{{- $name := .mesh.release.name }}
{{- $tls := dig "tls" true .mesh.release }}
{{- $server := printf "%s-server.%s.svc:8502" $name .mesh.release.namespace }}
{{- if not .mesh.addresses }}{{ $_ := set $settings "addresses" (list (printf "%s%s" (ternary "" "http://" $tls) $server)) }}{{ end }}
{{- $verified := dig "tls" dict .mesh }}
{{- if and $tls (not $secret) (not (or $verified.caFile $verified.caPath $verified.insecureSkipVerify)) }}
{{- $secret = dict "name" (printf "%s-ca-cert" $name) }}
{{- end }}
{{- if .mesh.release.acls }}
{{- $method := dict "authMethod" (printf "%s-k8s-auth-method" $name) }}
{{- if not (or .mesh.login .mesh.token .mesh.tokenFile) }}{{ $_ := set $settings "login" (deepCopy $method) }}{{ end }}
{{- if and $tls (not .mesh.serviceAccountLogin) }}{{ $_ := set $settings "serviceAccountLogin" (deepCopy $method) }}{{ end }}
{{- end }}
{{- else if not (or .mesh.addresses (has "CONSUL_GRPC_ADDR" .env)) }}
{{- fail (printf "%s needs `release` (name and namespace of Consul's chart) or `addresses` (gRPC addresses of Consul's servers)" $key) }}
{{- end }}
{{- $sources := list }}
{{- $folder := printf "/var/run/attache/%s" .name }}
{{- with $secret }}
{{- $items := list (dict "key" (.key | default "tls.crt") "path" "ca.crt") }}
{{- $sources = append $sources (dict "secret" (dict "name" .name "optional" true "items" $items)) }}
{{- $_ := set $settings "tls" (merge (dict "caFile" (printf "%s/ca.crt" $folder)) ($settings.tls | default dict)) }}
{{- end }}
{{- if dig "login" "audience" "" .mesh }}
{{- $sources = append $sources (dict "serviceAccountToken" (dict "path" "token" "audience" .mesh.login.audience "expirationSeconds" 3600)) }}
{{- $_ := set $settings "login" (merge (omit .mesh.login "audience") (dict "bearerTokenFile" (printf "%s/token" $folder))) }}
{{- end }}
{{- if $sources }}
{{- $volume := printf "mesh-%s" .name | trunc 63 | trimSuffix "-" }}
{{- $_ := set .needs "volumes" (append .needs.volumes (dict "name" $volume "projected" (dict "sources" $sources))) }}
{{- $_ := set .needs "mounts" (append .needs.mounts (dict "name" $volume "mountPath" $folder "readOnly" true)) }}
{{- end }}
{{- end }}

{{- /* Of the sidecar only the agent is used: attaché's own traffic stays out of Envoy, which needs no init container. */}}
{{- define "attache.istio" -}}
{{- $mode := .mesh.mode | default "sds" }}
{{- if eq $mode "istiod" }}
{{- $roots := .mesh.roots | default (dict "configMap" "istio-ca-root-cert") }}
{{- $crls := .mesh.crlConfigMap | default (ternary "" "istio-ca-crl" (or (hasKey $roots "file") (hasKey $roots "clusterTrustBundle"))) }}
{{- range compact (list $roots.configMap $crls) }}{{ $_ := set $.needs "configMaps" (append $.needs.configMaps . | uniq) }}{{ end }}
{{- else }}
{{- $_ := set .needs.labels "sidecar.istio.io/inject" "true" }}
{{- $_ := set .needs.annotations "sidecar.istio.io/interceptionMode" "NONE" }}
{{- if and (eq $mode "sds") (not .mesh.socket) }}
{{- $_ := set .needs "volumes" (append .needs.volumes (dict "name" "workload-socket" "emptyDir" dict) | uniq) }}
{{- $mount := dict "name" "workload-socket" "mountPath" "/var/run/secrets/workload-spiffe-uds" }}
{{- $_ := set .needs "mounts" (append .needs.mounts $mount | uniq) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The SPIFFE CSI driver mounts the folder of the agent's socket, which Pod Security `restricted` allows. */}}
{{- define "attache.spiffe" -}}
{{- with .mesh.endpointSocket }}
{{- if not (regexMatch "^(unix:/|tcp://)." .) }}
{{- fail (printf "meshes.%s.endpointSocket is %q: write an address like unix:///run/spire/sockets/agent.sock or tcp://127.0.0.1:8081" $.name .) }}
{{- end }}
{{- end }}
{{- if not (or .mesh.endpointSocket (has "SPIFFE_ENDPOINT_SOCKET" .env)) }}
{{- $folder := printf "/var/run/attache/%s" .name }}
{{- $volume := printf "mesh-%s" .name | trunc 63 | trimSuffix "-" }}
{{- $csi := dict "driver" (.mesh.csiDriver | default "csi.spiffe.io") "readOnly" true }}
{{- $_ := set .needs "volumes" (append .needs.volumes (dict "name" $volume "csi" $csi)) }}
{{- $_ := set .needs "mounts" (append .needs.mounts (dict "name" $volume "mountPath" $folder "readOnly" true)) }}
{{- $_ := set .settings "endpointSocket" (printf "unix://%s/spire-agent.sock" $folder) }}
{{- end }}
{{- end }}
