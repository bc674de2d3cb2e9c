{{/* The beginning of all names: the release's, unless another is wanted. */}}
{{- define "parlor.name" -}}
{{- if contains "parlor" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-parlor" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "parlor.operator" -}}
{{ include "parlor.name" . }}-operator
{{- end }}

{{- define "parlor.selector" -}}
app.kubernetes.io/name: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of every object. */}}
{{- define "parlor.labels" -}}
{{ include "parlor.selector" . }}
app.kubernetes.io/part-of: parlor
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Name, namespace, labels and annotations of an object: (list . "name"). */}}
{{- define "parlor.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
{{- if gt (len .) 2 }}
namespace: {{ index . 2 }}
{{- end }}
labels:
  {{- include "parlor.labels" $root | nindent 2 }}
{{- with $root.Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* An image by digest, or by tag, which is the chart's version unless another is given. */}}
{{- define "parlor.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "parlor.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "parlor.operator" .) }}{{ else }}{{ required "serviceAccount.name is missing: name one that is there, or let the chart make one (serviceAccount.create: true)" .Values.serviceAccount.name }}{{ end }}
{{- end }}
