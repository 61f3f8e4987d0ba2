#!/usr/bin/env bash
# Brings images that were built here into the cluster in use: `load.sh IMAGE...`, by default those of worker and operator.
# What the local cluster has already is not loaded again.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../tests/cluster/cluster.env
. "$here/../tests/cluster/cluster.env"
# shellcheck source=../tests/cluster/say.sh
. "$here/../tests/cluster/say.sh"
# shellcheck source=../tests/cluster/debian.sh
. "$here/../tests/cluster/debian.sh"
# shellcheck source=../tests/cluster/in-use.sh
. "$here/../tests/cluster/in-use.sh"
# shellcheck source=../tests/cluster/local/programs.sh
. "$here/../tests/cluster/local/programs.sh"
# shellcheck source=../tests/cluster/local/containers.sh
. "$here/../tests/cluster/local/containers.sh"
# shellcheck source=images.env
. "$here/images.env"
# shellcheck source=engine.sh
. "$here/engine.sh"

# load IMAGE
load() {
  local id archive=$STATE/image.tar loaded=$DATA/loaded/${1//[^[:alnum:]]/_}
  id=$(image_id "$1")
  [[ -n $id ]] || fail "there is no image $1: build it first"
  if [[ -e $loaded && $(<"$loaded") == "$id" ]]; then
    say "image $1 is in the cluster already"
    return
  fi
  image_save "$1" "$archive"
  case $cluster in
    local)
      import_image "$archive"
      mkdir -p "$(dirname "$loaded")"
      printf '%s\n' "$id" >"$loaded"
      ;;
    kind) kind load image-archive --name petiole "$archive" ;;
  esac
  rm "$archive"
  say "loaded image $1 into CLUSTER=$cluster"
}

cluster=$(in_use)
case $cluster in
  local | kind) ;;
  '') fail 'no cluster is in use: run tests/cluster/up.sh (make cluster-up) first' ;;
  context:*) fail "the nodes of CLUSTER=$cluster take images from a registry: REGISTRY=registry.example/team images/build.sh push" ;;
esac
if [[ $# -eq 0 ]]; then
  for program in "${OUR_IMAGES[@]}"; do
    set -- "$@" "$(image_name "$program")"
  done
fi

pick_engine
for image; do
  load "$image"
done
