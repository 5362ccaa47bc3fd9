{{- define "mashbill.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mashbill.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "mashbill.airflowAccount" -}}
{{- with .Values.serviceAccounts.airflow }}{{ .name | default (printf "%s-airflow" (include "mashbill.fullname" $)) }}{{ end }}
{{- end }}

{{- define "mashbill.airflowNamespace" -}}
{{- .Values.serviceAccounts.airflow.namespace | default .Release.Namespace }}
{{- end }}

{{- define "mashbill.jobsAccount" -}}
{{- with .Values.serviceAccounts.jobs }}{{ .name | default (printf "%s-jobs" (include "mashbill.fullname" $)) }}{{ end }}
{{- end }}

{{- define "mashbill.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "mashbill.claim" -}}
{{ .Values.artifacts.volume.existingClaim | default (printf "%s-artifacts" (include "mashbill.fullname" .)) }}
{{- end }}

{{- /* Ports outside that pods may reach: those of values, and that at which the store of artifacts answers. */}}
{{- define "mashbill.ports" -}}
{{- $url := urlParse .Values.artifacts.s3.endpointUrl }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) }}
{{- $ports := list }}
{{- range append .Values.networkPolicies.ports $port }}{{ $ports = append $ports (toString .) }}{{ end }}
{{- $ports | uniq | join ", " }}
{{- end }}

{{- /* Namespaces of whoever reads configs and the template: the release's, and Airflow's. */}}
{{- define "mashbill.namespaces" -}}
{{- list .Release.Namespace (include "mashbill.airflowNamespace" .) | uniq | toJson }}
{{- end }}
