{{- define "operator.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains .Release.Name $name }}{{ $name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}{{ end }}{{ end }}
{{- end }}

{{/* Name of what is outside the release's namespace: with a label selector others like it may be there for another operator. */}}
{{- define "operator.outsideName" -}}
{{ include "operator.fullname" . }}{{ if .Values.watchLabelSelector }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* The label selector. The operator checks it as well, but a release that is refused has changed nothing yet. */}}
{{- define "operator.labelSelector" -}}
{{- $name := `[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?` }}
{{- $key := printf `(%[1]s(\.%[1]s)*/)?%[2]s` `[a-z0-9]([-a-z0-9]*[a-z0-9])?` $name }}
{{- $value := printf `\s*(%s)?\s*` $name }}
{{- $requirement := printf `\s*(!\s*%[1]s|%[1]s(\s*(==?|!=)%[2]s|\s+(in|notin)\s*\(%[2]s(,%[2]s)*\))?)\s*` $key $value }}
{{- $text := .Values.watchLabelSelector }}
{{- if or (regexMatch `\(\s*\)` $text) (not (regexMatch (printf `^(%[1]s(,%[1]s)*)?$` $requirement) $text)) }}
{{- fail (printf "watchLabelSelector is %q, which is no label selector; write for example operator=blue, operator!=blue, operator in (blue,green), operator notin (blue,green), operator or !operator, several of them with commas between" $text) }}
{{- end }}
{{- $text }}
{{- end }}

{{/* Name of all that is there for custom metrics. */}}
{{- define "operator.customMetrics" -}}
{{ include "operator.fullname" . | trunc 48 | trimSuffix "-" }}-custom-metrics
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: stompbroker-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: stompbroker
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "operator.image" -}}
{{ .image.repository }}:{{ .image.tag | default .appVersion }}
{{- end }}

{{/* What the operator may do where it looks after StompBrokers. src/rbac.rs holds the same table; a test compares. */}}
{{- define "operator.rules" -}}
# What users write. Nothing of theirs but the status is ever written.
- apiGroups: [stompbroker.dev]
  resources: [stompbrokers]
  verbs: [list, watch]
# What is reported; read only for an object that cannot be understood.
- apiGroups: [stompbroker.dev]
  resources: [stompbrokers/status]
  verbs: [get, patch]
# Children: applied (create, patch), watched for drift (list, watch), names in use (get), pruned (delete).
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# A child where KEDA is installed and a StompBroker asks for it: by name only.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, create, patch, delete]
# Children where cert-manager is installed and a StompBroker names an issuer: by name only.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, create, patch, delete]
# Children where Gateway API is installed and a StompBroker asks for them: by name only.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, tlsroutes]
  verbs: [get, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies, ingresses]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Logins that are referred to (get) or generated (create, patch): by name only, never listed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
# Volumes of persistent messages: applied (get, create, patch) by name only, never deleted.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, create, patch]
# Where the admin ports are, and why a pod does not run; patched to say which pods go first when there are to be fewer.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# NATS servers are replaced by evictions, which their disruption budget grants one at a time.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
# What happened, for kubectl describe; repeats are counted by a patch.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
