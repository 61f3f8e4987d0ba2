#!/usr/bin/env bash
# Builds KEDA's operator and adapter from their Go module into .cluster/bin, with the versions that KEDA itself pins, and
# prints the folder of the definitions that belong to them. Does nothing when it is done.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../../tests/cluster/cluster.env
. "$here/../../tests/cluster/cluster.env"
# shellcheck source=../../tests/cluster/say.sh
. "$here/../../tests/cluster/say.sh"

MODULE=github.com/kedacore/keda/v2
VERSION=v2.20.2
# Of the module's content, as in a go.sum: its own go.sum holds those of all the others.
SUM=h1:SR60v8uIcelbveS8n/1jcl8tLdBBIbHMxmdOHw8tKqA=

command -v go >/dev/null || fail 'Go is not installed, which builds KEDA'
downloaded=$(go mod download -json "$MODULE@$VERSION") || fail "$MODULE@$VERSION cannot be downloaded: $downloaded"
field() {
  sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" <<<"$downloaded"
}
[[ $(field Sum) == "$SUM" ]] || fail "$MODULE@$VERSION is not what it was: $(field Sum) in place of $SUM"
folder=$(field Dir)

stamp=$BIN/.keda
if [[ ! -e $stamp || $(<"$stamp") != "$SUM" ]]; then
  say 'building KEDA, the peer: once, 4 to 5 minutes on two cores' >&2
  mkdir -p "$BIN"
  for program in operator adapter; do
    CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -C "$folder" -trimpath -buildvcs=false -ldflags '-s -w' \
      -o "$BIN/keda-$program" "./cmd/$program"
  done
  printf '%s\n' "$SUM" >"$stamp"
  say 'built KEDA' >&2
fi
printf '%s\n' "$folder/config/crd/bases"
