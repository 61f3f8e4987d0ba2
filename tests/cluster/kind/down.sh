#!/usr/bin/env bash
# Deletes the kind cluster `petiole`.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster.env
. "$here/../cluster.env"

kind delete cluster --name petiole --kubeconfig "$KUBECONFIG"
