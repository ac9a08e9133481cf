{{- define "tracelift.labels" -}}
app.kubernetes.io/name: tracelift
app.kubernetes.io/part-of: tracing
{{- end }}

{{- /* Whether the filter stands in a gateway or a waypoint, which have one side. */}}
{{- define "tracelift.hasOneSide" -}}
{{- if has .Values.reach (list "gateway" "gateway-api" "waypoint") }}true{{ end }}
{{- end }}

{{- define "tracelift.gatewayName" -}}
{{- .Values.gateway.name | default (ternary "waypoint" "public" (and (eq .Values.mesh "istio") (eq .Values.reach "waypoint"))) }}
{{- end }}

{{- define "tracelift.collectorCluster" -}}
{{- .Values.collector.cluster | default "tracelift_otel_collector" }}
{{- end }}

{{- /* One cluster: the collector. */}}
{{- define "tracelift.collector" -}}
name: tracelift_otel_collector
type: STRICT_DNS
connect_timeout: 1s
load_assignment:
  cluster_name: tracelift_otel_collector
  endpoints:
    - lb_endpoints:
        - endpoint:
            address:
              socket_address: { address: {{ .Values.collector.address | quote }}, port_value: {{ int .Values.collector.port }} }
{{- end }}

{{- /* The reach of a resource, by `selector`, or by `targetRefs` where selectors are ignored. */}}
{{- define "tracelift.reach" -}}
{{- if has .root.Values.reach (list "gateway-api" "waypoint") }}
targetRefs:
  - { group: gateway.networking.k8s.io, kind: Gateway, name: {{ include "tracelift.gatewayName" .root | quote }} }
{{- else if eq .root.Values.reach "gateway" }}
{{ .field }}:
  {{ .inner }}: {{- toYaml .root.Values.gateway.selector | nindent 4 }}
{{- else if eq .root.Values.reach "workload" }}
{{ .field }}:
  {{ .inner }}: {{- toYaml .root.Values.selector | nindent 4 }}
{{- else if and .isPlugin (eq .root.Values.reach "mesh") }}
{{- /* The label that the injector gives to sidecars and to no gateway: `match.mode: CLIENT` would reach gateways, too. */}}
{{ .field }}:
  {{ .inner }}: { security.istio.io/tlsMode: istio }
{{- end }}
{{- end }}

{{- /* The filter's settings: those of the values, then `settings` over them. */}}
{{- define "tracelift.settings" -}}
{{- $values := .root.Values }}
{{- $sampling := dict "ratio" (float64 $values.ratio) "rules" $values.rules }}
{{- $settings := dict "span_kind" .spanKind "sampling" $sampling "export" (dict "cluster" (include "tracelift.collectorCluster" .root)) }}
{{- if .edge }}{{ $_ := set $settings "edge" true }}{{ end }}
{{- with $values.serviceName }}{{ $_ := set $settings "service_name" . }}{{ end }}
{{- $upgrade := dict }}
{{- if $values.recall.enabled }}
{{- $_ := set $upgrade "recall" (dict "enabled" true "cluster" "" "tls_cluster" "tracelift_recall" "peers" $values.recall.peers) }}
{{- end }}
{{- if $values.applications.enabled }}{{ $_ := set $upgrade "applications" (dict "enabled" true) }}{{ end }}
{{- with $upgrade }}{{ $_ := set $settings "upgrade" . }}{{ end }}
{{- toYaml (mergeOverwrite $settings (deepCopy $values.settings)) }}
{{- end }}
