#!/usr/bin/env bash
# Writes manifests/install.yaml: both charts with their defaults, for those who install without Helm.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../tests/cluster/cluster.env
. "$here/../tests/cluster/cluster.env"
# shellcheck source=../tests/cluster/say.sh
. "$here/../tests/cluster/say.sh"

NAMESPACE=petiole
# The oldest that we run on, so that the file does not depend on what Helm was built with.
KUBERNETES=1.33

rendered() {
  # Helm says of each link in a chart that it follows it.
  helm template "$1" "$here/$2" --namespace "$NAMESPACE" --kube-version "$KUBERNETES" 2>"$LOG/helm" \
    || fail_with_log "$LOG/helm" "the chart $2 cannot be rendered"
}

"$here/../tests/cluster/build.sh" helm || exit 1
mkdir -p "$LOG"
new=$(mktemp)
trap 'rm -f "$new"' EXIT
{
  cat <<YAML
# Petiole without Helm, in a namespace of its own, for the TaskQueues and WorkerPools of that namespace:
#   kubectl apply --filename manifests/install.yaml
# Written by \`charts/render.sh\` from the charts' defaults. For other namespaces, images or limits render the charts
# with your values: \`helm template\`, see charts/petiole/values.yaml.
---
apiVersion: v1
kind: Namespace
metadata:
  name: $NAMESPACE
YAML
  rendered petiole-crds petiole-crds
  rendered petiole petiole
} >"$new"
install -D --mode=644 "$new" "$ROOT/manifests/install.yaml"
