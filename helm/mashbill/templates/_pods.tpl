{{- /* Pods that Kubernetes' "restricted" standard admits: no root, no privilege, nothing written but scratch. */}}
{{- define "mashbill.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.pods.user }}
runAsGroup: {{ .Values.pods.group }}
fsGroup: {{ .Values.pods.group }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "mashbill.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Variables that values give. */}}
{{- define "mashbill.given" -}}
{{- with .Values.artifacts.s3.endpointUrl }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.artifacts.s3.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- range $name, $value := .Values.pods.environment }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "mashbill.environment" -}}
- name: HOME
  value: /scratch
- name: MASHBILL_SCRATCH
  value: /scratch/mashbill
- name: OMP_NUM_THREADS
  value: "1"
{{- include "mashbill.given" . }}
{{- end }}

{{- define "mashbill.volumeMounts" -}}
- name: scratch
  mountPath: /tmp
  subPath: tmp
- name: scratch
  mountPath: /scratch
  subPath: scratch
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
- name: scratch
  emptyDir:
    sizeLimit: {{ .Values.pods.scratch }}
- name: shared-memory
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.pods.sharedMemory }}
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

{{- /* What of a container is the same whoever starts it; a dict of context and resources. */}}
{{- define "mashbill.container" -}}
image: {{ include "mashbill.image" .context | quote }}
imagePullPolicy: {{ .context.Values.image.pullPolicy }}
env:
  {{- include "mashbill.environment" .context | nindent 2 }}
{{- with .context.Values.artifacts.s3.credentialsSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  {{- include "mashbill.containerSecurity" .context | nindent 2 }}
volumeMounts:
  {{- include "mashbill.volumeMounts" .context | nindent 2 }}
{{- end }}

{{- define "mashbill.nodes" -}}
{{- with .Values.pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "mashbill.placement" -}}
{{- include "mashbill.nodes" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "mashbill.podSecurity" . | nindent 2 }}
volumes:
  {{- include "mashbill.volumes" . | nindent 2 }}
{{- end }}
