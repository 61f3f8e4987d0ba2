#!/usr/bin/env bash
# Leaves a cluster that was there before as it is; the caller removes our copy of its kubeconfig context, $1.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../say.sh
. "$here/../say.sh"

say "the cluster of context '$1' stays as it is"
