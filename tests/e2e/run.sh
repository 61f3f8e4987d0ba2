#!/usr/bin/env bash
# Runs something on the cluster in use, with all images there: `run.sh COMMAND...`.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/say.sh
. "$here/../cluster/say.sh"
# shellcheck source=../../images/images.env
. "$ROOT/images/images.env"

[[ -d $ROOT/dist/linux-$ARCH ]] || fail "there are no programs in dist/linux-$ARCH: run images/binaries.sh first"
TAG=$(tag_of_programs)
export TAG REGISTRY
"$ROOT/images/bring.sh" || exit 1
"$here/images.sh" || exit 1
"$@"
