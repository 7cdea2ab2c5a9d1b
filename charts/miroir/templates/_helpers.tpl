{{- define "miroir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "miroir.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "miroir.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "miroir.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which pods are selected. Arguments: root, component. */}}
{{- define "miroir.selector" -}}
app.kubernetes.io/name: {{ include "miroir.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "miroir.labels" -}}
{{ include "miroir.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "miroir.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "miroir.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "miroir.image" -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}

{{/* Name of the Secret of a key. Arguments: root, values, suffix. */}}
{{- define "miroir.secret" -}}
{{- default (printf "%s-%s" (include "miroir.fullname" .root) .suffix) .values.existingSecret -}}
{{- end -}}

{{- define "miroir.hasAdminKey" -}}
{{- if or .Values.adminKey.existingSecret .Values.adminKey.value -}}true{{- end -}}
{{- end -}}

{{/* The nodes, as MIROIR_NODES has them. */}}
{{- define "miroir.nodes" -}}
{{- $nodes := list -}}
{{- if .Values.meilisearch.enabled -}}
{{- $name := printf "%s-node" (include "miroir.fullname" .) -}}
{{- range $at := until (int .Values.meilisearch.replicas) -}}
{{- $domain := $name -}}
{{- if $.Values.meilisearch.servicePerNode }}{{ $domain = printf "%s.svc.%s" $.Release.Namespace $.Values.meilisearch.clusterDomain }}{{ end -}}
{{- $nodes = append $nodes (printf "node-%d=http://%s-%d.%s:7700" $at $name $at $domain) -}}
{{- end -}}
{{- else -}}
{{- range .Values.nodes -}}
{{- $node := printf "%s=%s" .id (trimSuffix "/" .url) -}}
{{- if .weight }}{{ $node = printf "%s,weight=%v" $node .weight }}{{ end -}}
{{- if .zone }}{{ $node = printf "%s,zone=%s" $node .zone }}{{ end -}}
{{- $nodes = append $nodes $node -}}
{{- end -}}
{{- end -}}
{{- join " " $nodes -}}
{{- end -}}

{{- define "miroir.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Pods of one component are kept on different machines where that can be. Arguments: root, component, affinity. */}}
{{- define "miroir.affinity" -}}
{{- if .affinity }}
affinity: {{- toYaml .affinity | nindent 2 }}
{{- else }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "miroir.selector" . | nindent 14 }}
{{- end }}
{{- end -}}

{{- define "miroir.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
