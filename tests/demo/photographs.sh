#!/usr/bin/env bash
# Puts photographs into .demo/photographs: 15 of a Debian package, taken by users of Ubuntu Touch and free to use (Creative
# Commons; LICENCES beside them names the photographers). The package is unpacked, not installed.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/say.sh
. "$here/../cluster/say.sh"
# shellcheck source=../../images/images.env
. "$ROOT/images/images.env"
# shellcheck source=demo.env
. "$here/demo.env"

PACKAGE=lomiri-wallpapers-16.04

download() {
  apt-get download --quiet --quiet "$PACKAGE" 2>"$LOG/photographs"
}

[[ ! -d $DEMO/photographs ]] || exit 0
say "fetching photographs: Debian's package $PACKAGE, 16 MB, once"
mkdir -p "$DEMO" "$LOG"
new=$(mktemp -d "$DEMO/photographs.XXXXXX")
trap 'rm -rf "$new"' EXIT
cd "$new"
# Package lists that are old, or not there yet, are the usual reason.
download || { apt-get update >"$LOG/photographs" 2>&1 && download; } \
  || fail_with_log "$LOG/photographs" "the package $PACKAGE could not be fetched: give a folder of your own, PHOTOGRAPHS=FOLDER"
dpkg-deb --extract "$PACKAGE"_*.deb .
mkdir photographs
mv usr/share/backgrounds/*.jpg photographs/
mv "usr/share/doc/$PACKAGE/copyright" photographs/LICENCES
mv photographs "$DEMO/"
