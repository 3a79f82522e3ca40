{{- define "operator.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains .Release.Name $name }}{{ $name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}{{ end }}{{ end }}
{{- end }}

{{/* Name of policies, which are over the cluster: with a scope others like it may be there for another operator. */}}
{{- define "operator.policyName" -}}
{{ include "operator.fullname" . }}{{ if or .Values.watchNamespaces .Values.watchLabelSelector }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* Name of a role where StompBrokers are looked after. Those with certain labels may be of several operators; all of them are of one,
so that role has the same name whatever the release is called, and a second release meets it. */}}
{{- define "operator.roleName" -}}
{{- if .Values.watchLabelSelector }}{{ include "operator.fullname" . }}-{{ .Release.Namespace }}
{{- else }}stompbroker-operator{{ end }}
{{- end }}

{{/* Whose an object is, of which there can be only one: empty if it is not there or belongs to this release. Helm would refuse it
as well, but without a word on what to do. Nothing is there for helm template, which sees no cluster. */}}
{{- define "operator.otherOwner" -}}
{{- if .object }}
{{- $annotations := .object.metadata.annotations | default dict }}
{{- $name := index $annotations "meta.helm.sh/release-name" | default "" }}
{{- $namespace := index $annotations "meta.helm.sh/release-namespace" | default "" }}
{{- if not $name }}no release of Helm
{{- else if or (ne $name .release.Name) (ne $namespace .release.Namespace) }}the release {{ $name }} of the namespace {{ $namespace }}
{{- end }}
{{- end }}
{{- end }}

{{/* Refuses to look after the StompBrokers of a place where another operator looks after all of them. */}}
{{- define "operator.refuseOverlap" -}}
{{- $kind := ternary "Role" "ClusterRole" (not (empty .namespace)) }}
{{- $there := lookup "rbac.authorization.k8s.io/v1" $kind (default "" .namespace) "stompbroker-operator" }}
{{- $owner := include "operator.otherOwner" (dict "object" $there "release" .root.Release) }}
{{- $selector := .root.Values.watchLabelSelector }}
{{- /* What was installed without Helm may have a scope by its variables. */}}
{{- if and $owner (or (not $selector) (hasPrefix "the release" $owner)) }}
{{- $place := ternary (printf "the namespace %s" .namespace) "the cluster" (not (empty .namespace)) }}
{{- fail (printf "the %s stompbroker-operator belongs to %s, by which an operator looks after all StompBrokers of %s; set watchLabelSelector or watchNamespaces %s, so that each StompBroker has one operator" $kind $owner $place (ternary "there first" "here and there" (not (empty $selector)))) }}
{{- end }}
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
