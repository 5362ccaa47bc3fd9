{{- /* What Airflow's workers and triggerer may do. The tests compare it with operators/mashbill/launch/kubernetes/rights.py. */}}
{{- define "mashbill.airflowRules" -}}
{{- $backends := .Values.rbac.backends }}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- if has "job" $backends }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, get, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [create, delete, get]
{{- end }}
{{- if has "jobset" $backends }}
- apiGroups: [jobset.x-k8s.io]
  resources: [jobsets]
  verbs: [create, delete, get, list, watch]
{{- end }}
{{- if has "trainjob" $backends }}
- apiGroups: [trainer.kubeflow.org]
  resources: [trainjobs]
  verbs: [create, delete, get, list, watch]
{{- end }}
{{- if has "rayjob" $backends }}
- apiGroups: [ray.io]
  resources: [rayjobs]
  verbs: [create, delete, get, list, watch]
{{- end }}
{{- if .Values.rbac.looks }}
- apiGroups: [""]
  resources: [persistentvolumeclaims, serviceaccounts]
  verbs: [get]
{{- with include "mashbill.secrets" . | fromJsonArray }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
- apiGroups: [kueue.x-k8s.io]
  resources: [localqueues]
  verbs: [get]
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list]
{{- if has "trainjob" $backends }}
- apiGroups: [trainer.kubeflow.org]
  resources: [trainingruntimes]
  verbs: [get]
{{- end }}
{{- end }}
{{- end }}

{{- /* Secrets whose being there is looked at: those that the chart is told of, and no other. */}}
{{- define "mashbill.secrets" -}}
{{- $names := .Values.rbac.secrets }}
{{- with .Values.artifacts.s3.credentialsSecret }}{{ $names = append $names . }}{{ end }}
{{- range .Values.imagePullSecrets }}{{ $names = append $names .name }}{{ end }}
{{- $names | uniq | sortAlpha | toJson }}
{{- end }}

{{- /* What of the cluster, not of the namespace, may be looked at. */}}
{{- define "mashbill.clusterRules" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
- apiGroups: [""]
  resources: [namespaces]
  resourceNames: [{{ .Release.Namespace }}]
  verbs: [get]
- apiGroups: [scheduling.k8s.io]
  resources: [priorityclasses]
  verbs: [get]
{{- if has "trainjob" .Values.rbac.backends }}
- apiGroups: [trainer.kubeflow.org]
  resources: [clustertrainingruntimes]
  verbs: [get]
{{- end }}
{{- end }}

{{- /* What the jobs' own pods may do: nothing, or say how far a TrainJob is. */}}
{{- define "mashbill.jobsRules" -}}
{{- if .Values.rbac.trainJobStatus }}
- apiGroups: [trainer.kubeflow.org]
  resources: [trainjobs/status]
  verbs: [patch]
{{- end }}
{{- end }}
