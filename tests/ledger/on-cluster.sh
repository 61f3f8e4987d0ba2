#!/usr/bin/env bash
# Runs the ledgers that need a cluster, or that one of them which ONLY names. CLUSTER, SCALE, SEED as ever.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/say.sh
. "$here/../cluster/say.sh"

run=("$ROOT/.venv/celery/bin/python" "$here/run.py" --cluster)
names=$("${run[@]}" --names)
[[ -n $names ]] || exit 0
case ${CLUSTER:-local} in
  local | kind) ;;
  # Its tasks and its client have one clock, and it kills a process by its id.
  *) fail "a ledger's cluster has to be on this machine: CLUSTER=local or CLUSTER=kind" ;;
esac
"$here/../cluster/possible.sh" || fail "no cluster can run here, so there is no figure of: $names"
"$ROOT/images/binaries.sh" || exit 1
"$here/../cluster/with.sh" "$here/../e2e/run.sh" "${run[@]}"
