#!/usr/bin/env bash
# Runs a command with a cluster: `with.sh COMMAND...`. One that is in use stays; one that is brought up for the command is
# taken down after it, however it ends.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=cluster.env
. "$here/cluster.env"
# shellcheck source=say.sh
. "$here/say.sh"
# shellcheck source=in-use.sh
. "$here/in-use.sh"

# Also when it is up.sh that has failed half-way, or Ctrl-C has ended the command.
take_down() {
  local status=$?
  trap '' INT TERM
  "$here/down.sh" || status=1
  exit "$status"
}

[[ $# -gt 0 ]] || fail 'write with.sh COMMAND..., for example with.sh kubectl get nodes'
if [[ -z $(in_use) ]]; then
  trap take_down EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
fi
"$here/up.sh" || exit 1
"$@" || exit
