#!/usr/bin/env bash
# Uses a cluster that is there already: copies the one kubeconfig context that was named, $1, and no other.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster.env
. "$here/../cluster.env"
# shellcheck source=../say.sh
. "$here/../say.sh"
# shellcheck source=../in-use.sh
. "$here/../in-use.sh"
context=$1
theirs=$USER_KUBECONFIG
# kubectl's default; also where the user has exported ours already.
[[ -n $theirs && $theirs != "$KUBECONFIG" ]] || theirs=$HOME/.kube/config

"$here/../build.sh" helm || exit 1
command -v kubectl >/dev/null || "$here/../build.sh" kubernetes || exit 1

if ! copy=$(KUBECONFIG=$theirs kubectl config view --minify --flatten --context="$context" 2>&1); then
  contexts=$(KUBECONFIG=$theirs kubectl config get-contexts --output name 2>/dev/null | paste -s -d ' ')
  fail "no context '$context' in $theirs ($copy); it has: ${contexts:-none}"
fi
(umask 077 && printf '%s\n' "$copy" >"$KUBECONFIG")
answer=$(kubectl get --raw /readyz --request-timeout=15s 2>&1) \
  || fail "the cluster of context '$context' does not answer: $answer"
take_into_use "context:$context"
say "using context '$context' of $theirs"
