{{/* Name of the application: one label value for all its objects. */}}
{{- define "videollm-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end }}

{{/* Prefix of every object's name; leaves 10 characters for suffixes. */}}
{{- define "videollm-operator.fullname" -}}
{{- $name := include "videollm-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/*
Two releases of one name in different namespaces must not share a ClusterRole, so cluster-scoped
names begin with the namespace; only the usual one, videollm-system, is left out.
*/}}
{{- define "videollm-operator.clusterName" -}}
{{- $fullname := include "videollm-operator.fullname" . -}}
{{- if eq .Release.Namespace "videollm-system" -}}
{{- $fullname -}}
{{- else -}}
{{- printf "%s-%s" .Release.Namespace $fullname -}}
{{- end -}}
{{- end }}

{{- define "videollm-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "videollm-operator.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "videollm-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "videollm-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "videollm-operator.podLabels" -}}
{{ include "videollm-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: videollm
{{- end }}

{{- define "videollm-operator.labels" -}}
{{ include "videollm-operator.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "videollm-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{/*
What the operator may do with VideoLLMDeployments and their children, in one namespace or in all.
Alphabetical by group and resource, so that nothing is missed or repeated. It reads no Secret, and
of the user's object it writes nothing but status.
*/}}
{{- define "videollm-operator.workloadRules" -}}
# Of the children only service accounts are ever deleted. `delete` of the others is here since, where
# OwnerReferencesPermissionEnforcement is on (OpenShift), only who may delete an orphan may adopt it.
- apiGroups: [""]
  resources: [persistentvolumeclaims, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets/scale]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [videollm.io]
  resources: [videollmdeployments]
  verbs: [get, list, watch]
# No finalizer is ever set: where OwnerReferencesPermissionEnforcement is on (OpenShift), this is
# what lets children name their owner as one that waits for them.
- apiGroups: [videollm.io]
  resources: [videollmdeployments/finalizers]
  verbs: [update]
- apiGroups: [videollm.io]
  resources: [videollmdeployments/status]
  verbs: [patch]
{{- end }}
