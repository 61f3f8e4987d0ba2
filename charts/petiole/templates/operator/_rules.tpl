{{- /* What the operator may do in a namespace that it looks after. Each right follows from a call that it makes. */}}
{{- define "petiole.operator.rules" -}}
# Our resources are watched, and nothing of them written but the status ...
- apiGroups: [petiole.dev]
  resources: [taskqueues, workerpools]
  verbs: [list, watch]
# ... and the finalizer of TaskQueues that hold messages for later. The API has no narrower right to a finalizer.
- apiGroups: [petiole.dev]
  resources: [taskqueues]
  verbs: [patch]
- apiGroups: [petiole.dev]
  resources: [taskqueues/status, workerpools/status]
  verbs: [patch]
# What a pool is made of. Server-side apply needs `patch`, and `create` where the object is not there yet; `get` tells
# whether a name is taken by somebody else's.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
# The same, and removed when no pod uses them any more. All else goes with its pool, by owner references.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
# How a pool's pods are; and which of them go first, in an annotation, when there are to be fewer. In mode Celery a pod
# whose worker answers no more is deleted ...
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# ... and that a worker takes tasks is said in a condition of its pod.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
# Those of others are looked for, too: one that scales a pool in a way that cannot work is named. Which it is, its spec says.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list, watch]
{{- if .Values.externalMetrics.enabled }}
# Where pools want one, it is made, and removed when they no longer do. It writes how many pods there are; the operator writes
# the first one and the last one.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, create, patch, delete]
- apiGroups: [petiole.dev]
  resources: [workerpools/scale]
  verbs: [patch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Which Secrets there are to be read is known only when a TaskQueue is written, so without secretNames this cannot name
# them. With `get` alone none can be listed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
  {{- with .Values.secretNames }}
  resourceNames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
