#!/usr/bin/env bash
# Builds the images of worker and operator from dist/; `REGISTRY=registry.example/team images/build.sh push` pushes them as well.
# May be set: TAG (default: the workspace's version), ARCH (this machine's), ENGINE (what is there), DIST (dist/).
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
# shellcheck source=engine.sh
. "$here/engine.sh"

dist=${DIST:-$ROOT/dist}

case ${1:-} in
  '') ;;
  push) [[ $REGISTRY != localhost ]] || fail "push where to? write REGISTRY=registry.example/team images/build.sh push" ;;
  *) fail "'$1' is no command of build.sh: write push or nothing" ;;
esac
[[ -d $dist/linux-$ARCH ]] || fail "there is no $dist/linux-$ARCH: run images/binaries.sh first"

pick_engine
for program in "${OUR_IMAGES[@]}"; do
  image=$(image_name "$program")
  image_build "$here/$program/Dockerfile" "$dist" "$image"
  say "built image $image for $ARCH with $ENGINE"
done
if [[ ${1:-} == push ]]; then
  for program in "${OUR_IMAGES[@]}"; do
    image=$(image_name "$program")
    image_push "$image" || fail "$image could not be pushed: is the login right ($ENGINE login ${REGISTRY%%/*})?"
    say "pushed image $image"
  done
fi
