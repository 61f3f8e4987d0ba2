{{- /* What the objects are called: after the release, and after the chart where the release is called otherwise. */}}
{{- define "petiole.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "petiole.operator.name" -}}
{{- printf "%s-operator" (include "petiole.name" .) -}}
{{- end }}

{{- define "petiole.external.name" -}}
{{- printf "%s-external" (include "petiole.name" .) -}}
{{- end }}

{{- define "petiole.redis.name" -}}
{{- printf "%s-redis" (include "petiole.name" .) -}}
{{- end }}

{{- define "petiole.serviceAccountName" -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false: write the name of the ServiceAccount to use into serviceAccount.name" -}}
{{- end -}}
{{- .Values.serviceAccount.name | default (include "petiole.operator.name" .) -}}
{{- end }}

{{- /* Labels of an object: (dict "context" $ "component" "operator"). */}}
{{- define "petiole.labels" -}}
{{ include "petiole.selector" . }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: petiole
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Those of them that never change. */}}
{{- define "petiole.selector" -}}
app.kubernetes.io/name: {{ .context.Chart.Name }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* An image of ours: (dict "context" $ "image" .Values.image). */}}
{{- define "petiole.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .context.Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- /* What Pod Security "restricted" asks of a pod and of a container, and a file system that nobody writes to. */}}
{{- define "petiole.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "petiole.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end }}
