#!/usr/bin/env bash
# Brings up the cluster that CLUSTER names and writes .cluster/kubeconfig for it:
# local (the default: a real Kubernetes on this machine), kind, or context:NAME of your own kubeconfig.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=cluster.env
. "$here/cluster.env"
# shellcheck source=say.sh
. "$here/say.sh"
# shellcheck source=in-use.sh
. "$here/in-use.sh"

mkdir -p "$STATE"
take_lock
cluster=${CLUSTER:-$(in_use)}
cluster=${cluster:-local}
case $cluster in
  local | kind) script=$here/$cluster/up.sh ;;
  context:?*) script=$here/context/up.sh ;;
  *) fail "CLUSTER=$cluster: write local, kind or context:NAME" ;;
esac
refuse_second_cluster "$cluster"
"$script" "${cluster#context:}" || exit 1
say "CLUSTER=$cluster is ready: export KUBECONFIG=$KUBECONFIG"
