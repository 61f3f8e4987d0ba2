#!/usr/bin/env bash
# Runs those ledgers or benches that need a cluster, or the one which ONLY names: `on-this-machine.sh ledger/run.py`. The
# script says which they are by `--cluster --names`. CLUSTER, SCALE, SEED as ever.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/say.sh
. "$here/../cluster/say.sh"

[[ $# -gt 0 ]] || fail 'write on-this-machine.sh SCRIPT, for example on-this-machine.sh tests/ledger/run.py'
run=("$ROOT/.venv/celery/bin/python" "$(realpath "$1")" --cluster "${@:2}")
names=$("${run[@]}" --names)
[[ -n $names ]] || exit 0
case ${CLUSTER:-local} in
  local | kind) ;;
  # Their tasks and their clients have one clock, and they look at processes by their ids.
  *) fail "a cluster for $names has to be on this machine: CLUSTER=local or CLUSTER=kind" ;;
esac
"$here/../cluster/possible.sh" || fail "no cluster can run here, so there is no figure of: $names"
"$ROOT/images/binaries.sh" || exit 1
"$here/../cluster/with.sh" "$here/run.sh" "${run[@]}"
