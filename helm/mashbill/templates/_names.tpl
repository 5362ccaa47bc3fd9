{{- define "mashbill.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "mashbill.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "mashbill.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}{{ else if .Values.serviceAccount.create }}{{ include "mashbill.fullname" . }}{{ else }}default{{ end }}
{{- end }}

{{- define "mashbill.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "mashbill.claim" -}}
{{ .Values.artifacts.volume.existingClaim | default (printf "%s-artifacts" (include "mashbill.fullname" .)) }}
{{- end }}

{{- define "mashbill.environment" -}}
- name: OMP_NUM_THREADS
  value: "1"
{{- with .Values.artifacts.s3.endpointUrl }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.artifacts.s3.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* What a pod that runs mashbill mounts, whoever starts it. */}}
{{- define "mashbill.volumeMounts" -}}
- name: shared-memory
  mountPath: /dev/shm
{{- if .Values.configs }}
- name: configs
  mountPath: /opt/mashbill/configs
  readOnly: true
{{- end }}
{{- if .Values.artifacts.volume.enabled }}
- name: artifacts
  mountPath: {{ .Values.artifacts.volume.mountPath }}
{{- end }}
{{- end }}

{{- define "mashbill.volumes" -}}
- name: shared-memory
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.worker.sharedMemory }}
{{- if .Values.configs }}
- name: configs
  configMap:
    name: {{ include "mashbill.fullname" . }}-configs
{{- end }}
{{- if .Values.artifacts.volume.enabled }}
- name: artifacts
  persistentVolumeClaim:
    claimName: {{ include "mashbill.claim" . }}
{{- end }}
{{- end }}

{{- define "mashbill.container" -}}
image: {{ include "mashbill.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  {{- include "mashbill.environment" . | nindent 2 }}
{{- with .Values.artifacts.s3.credentialsSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
resources:
  {{- toYaml .Values.worker.resources | nindent 2 }}
volumeMounts:
  {{- include "mashbill.volumeMounts" . | nindent 2 }}
{{- end }}

{{- define "mashbill.placement" -}}
serviceAccountName: {{ include "mashbill.serviceAccount" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.worker.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.worker.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  {{- include "mashbill.volumes" . | nindent 2 }}
{{- end }}
