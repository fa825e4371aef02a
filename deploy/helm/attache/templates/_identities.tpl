{{- /*
Refuses what the schema of the values cannot: between the fields of an identity, and what is enabled. `configured` has the
settings of each mesh, by its name.
*/}}
{{- define "attache.checkIdentities" -}}
{{- $configured := .configured }}
{{- $release := .root.Release.Namespace }}
{{- $known := dict }}
{{- range $index, $identity := .root.Values.identities }}
{{- $it := printf "identities[%d] (%s)" $index .name }}
{{- $spec := .spec }}
{{- $sources := list }}
{{- range list "consul" "istio" "spiffe" "plugin" }}{{ if hasKey $spec . }}{{ $sources = append $sources . }}{{ end }}{{ end }}
{{- if ne (len $sources) 1 }}
{{- fail (printf "%s must have exactly one of `spec.consul`, `spec.istio`, `spec.spiffe` and `spec.plugin`; it has %s" $it (join " and " $sources | default "none")) }}
{{- end }}
{{- $source := first $sources }}
{{- if and (eq $source "plugin") (not $spec.mesh) }}
{{- fail (printf "%s has `spec.plugin`, which needs the name of its mesh: set `spec.mesh`" $it) }}
{{- end }}
{{- $mesh := $spec.mesh | default $source }}
{{- if not (hasKey $configured $mesh) }}
{{- fail (printf "%s needs the mesh %q, which is off: set `meshes.%s.enabled` to true" $it $mesh $mesh) }}
{{- end }}
{{- $settings := get $configured $mesh }}
{{- $adapter := $settings.adapter | default $mesh }}
{{- $wanted := ternary $adapter "plugin" (has $adapter (list "consul" "istio" "spiffe")) }}
{{- if ne $source $wanted }}
{{- fail (printf "%s has `spec.%s`, and the mesh %q is of %s: write `spec.%s`, or name another mesh in `spec.mesh`" $it $source $mesh $adapter $wanted) }}
{{- end }}
{{- if and (eq ($settings.mode | default "") "istiod") (not (dig "istio" "serviceAccount" "" $spec)) }}
{{- fail (printf "%s needs `spec.istio.serviceAccount`: istiod signs for the ServiceAccount that it names" $it) }}
{{- end }}
{{- if and (dig "consul" "serviceAccount" "" $spec) (not $settings.serviceAccountLogin) }}
{{- fail (printf "%s has `spec.consul.serviceAccount`, which needs an auth method and TLS: set `meshes.%s.release.acls` to true, or `meshes.%s.serviceAccountLogin`; without ACLs, leave it out" $it $mesh $mesh) }}
{{- end }}
{{- if ne ($spec.installation | default (include "attache.installation" $.root)) (include "attache.installation" $.root) }}
{{- fail (printf "%s is for this release: leave out `spec.installation`, or set the value `installation`" $it) }}
{{- end }}
{{- range $key, $_ := dig "target" "labels" dict $spec }}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$" $key) }}
{{- fail (printf "%s has the key %q in `spec.target.labels`: write NAME or DOMAIN/NAME" $it $key) }}
{{- end }}
{{- end }}
{{- $tls := dig "target" "tlsContext" dict $spec }}
{{- range $key, $_ := $tls.annotations }}
{{- if regexMatch "(^|[.])(attache[.]dev|getambassador[.]io|kubernetes[.]io|k8s[.]io)/" $key }}
{{- fail (printf "%s has the key %q in `spec.target.tlsContext.annotations`: write one outside of the domains of attaché, Emissary and Kubernetes" $it $key) }}
{{- end }}
{{- end }}
{{- if and $tls.minTlsVersion $tls.maxTlsVersion (gt $tls.minTlsVersion $tls.maxTlsVersion) }}
{{- fail (printf "%s has a `spec.target.tlsContext.minTlsVersion` above its `maxTlsVersion`" $it) }}
{{- end }}
{{- $secrets := include "attache.targetNames" . | fromYamlArray | rest }}
{{- if ne (len $secrets) (len (uniq $secrets)) }}
{{- fail (printf "%s publishes two Secrets of one name (%s): `spec.target` must name different ones" $it (join ", " $secrets)) }}
{{- end }}
{{- $namespace := .namespace | default $release }}
{{- $key := printf "%s/%s" $namespace .name }}
{{- with get $known $key }}
{{- fail (printf "%s has the name and namespace of %s: give it another name" $it .) }}
{{- end }}
{{- $_ := set $known $key $it }}
{{- if .createServiceAccount }}
{{- $account := include "attache.identityAccount" . }}
{{- if not $account }}
{{- fail (printf "%s has createServiceAccount and names none: set `spec.consul.serviceAccount` or `spec.istio.serviceAccount`" $it) }}
{{- end }}
{{- if and (eq $namespace $release) (eq $account (include "attache.serviceAccount" $.root)) }}
{{- fail (printf "%s would create the ServiceAccount %s, which is that of attaché: leave out createServiceAccount" $it $account) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The ServiceAccount that an identity names. */}}
{{- define "attache.identityAccount" -}}
{{- dig "consul" "serviceAccount" (dig "istio" "serviceAccount" "" .spec) .spec }}
{{- end }}
