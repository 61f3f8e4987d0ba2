#!/usr/bin/env bash
# Makes a Debian with some packages and what they need as FOLDER/root.tar, unless it is there:
# `debian-root.sh FOLDER VARIANT PACKAGE,...`. VARIANT is mmdebstrap's: `essential` has a shell and installs the packages,
# `extract` only unpacks them.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../tests/cluster/cluster.env
. "$here/../tests/cluster/cluster.env"
# shellcheck source=../tests/cluster/say.sh
. "$here/../tests/cluster/say.sh"
# shellcheck source=../tests/cluster/debian.sh
. "$here/../tests/cluster/debian.sh"
# shellcheck source=images.env
. "$here/images.env"

# Debian's release that the images are made of.
SUITE=bookworm

[[ $# -eq 3 ]] || fail 'write debian-root.sh FOLDER VARIANT PACKAGE,..., for example debian-root.sh .demo/images/redis extract redis-server'
root=$1/root.tar
made_of="$SUITE $ARCH $2 $3"
if [[ -e $root && -e $1/.packages && $(<"$1/.packages") == "$made_of" ]]; then
  exit 0
fi
say "making a Debian with $3: once, up to a minute"
install_debian_packages mmdebstrap
mkdir -p "$1" "$LOG"
mmdebstrap --architectures="$ARCH" --variant="$2" --include="$3" "$SUITE" "$root.new" >"$LOG/mmdebstrap" 2>&1 \
  || fail_with_log "$LOG/mmdebstrap" "mmdebstrap could not make a Debian with $3"
mv "$root.new" "$root"
printf '%s\n' "$made_of" >"$1/.packages"
