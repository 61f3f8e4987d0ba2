#!/usr/bin/env bash
# Makes the kind cluster `petiole`, or uses it when it is there.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster.env
. "$here/../cluster.env"
# shellcheck source=../say.sh
. "$here/../say.sh"
# shellcheck source=../in-use.sh
. "$here/../in-use.sh"

command -v kind >/dev/null || fail "CLUSTER=kind needs kind, which is not on the PATH; CLUSTER=local needs nothing but root"
"$here/../build.sh" helm || exit 1
command -v kubectl >/dev/null || "$here/../build.sh" kubernetes || exit 1

take_into_use kind
if kind get clusters 2>/dev/null | grep --quiet --line-regexp petiole; then
  say "the kind cluster petiole is there"
  kind export kubeconfig --name petiole --kubeconfig "$KUBECONFIG" --quiet
else
  say "kind makes the cluster petiole"
  kind create cluster --name petiole --kubeconfig "$KUBECONFIG" --wait 180s
fi
chmod 600 "$KUBECONFIG"
