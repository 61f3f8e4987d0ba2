#!/usr/bin/env bash
# Takes down the cluster in use. --clean also removes everything in .cluster but the built programs.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=cluster.env
. "$here/cluster.env"
# shellcheck source=say.sh
. "$here/say.sh"
# shellcheck source=in-use.sh
. "$here/in-use.sh"

case ${1:-} in
  '' | --clean) ;;
  *) fail "'$1' is no option of down.sh: write --clean or nothing" ;;
esac

mkdir -p "$STATE"
take_lock
cluster=$(in_use)
cluster=${cluster:-local}
"$here/${cluster%%:*}/down.sh" "${cluster#context:}" || exit 1
rm -f "$IN_USE_FILE" "$KUBECONFIG"
if [[ ${1:-} == --clean ]]; then
  find "$STATE" -mindepth 1 -maxdepth 1 ! -path "$BIN" -exec rm -rf {} +
fi
say "CLUSTER=$cluster is down"
