#!/usr/bin/env bash
# Builds the demo's own images from Debian packages, and brings them into the cluster in use: `images.sh [thumbnails|redis]...`,
# by default both.
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

# image_of NAME IMAGE VARIANT PACKAGES
image_of() {
  local folder=$DEMO/images/$1
  mkdir -p "$folder"
  cp --preserve=mode "$here/images/$1"/* "$folder/"
  "$ROOT/images/debian-root.sh" "$folder" "$3" "$4" || exit 1
  "$ROOT/images/from-folder.sh" "$folder" "$2" || exit 1
}

[[ $# -gt 0 ]] || set -- thumbnails redis
for name; do
  case $name in
    thumbnails) image_of thumbnails "$THUMBNAILS_IMAGE" essential imagemagick,jq ;;
    redis) image_of redis "$REDIS_IMAGE" extract redis-server ;;
    *) fail "no image is called '$name': write thumbnails or redis" ;;
  esac
done
