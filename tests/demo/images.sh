#!/usr/bin/env bash
# Builds the demo's own images, ImageMagick's and Redis', from Debian packages, and brings them into the cluster in use.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/say.sh
. "$here/../cluster/say.sh"
# shellcheck source=../cluster/debian.sh
. "$here/../cluster/debian.sh"
# shellcheck source=../cluster/in-use.sh
. "$here/../cluster/in-use.sh"
# shellcheck source=../../images/images.env
. "$ROOT/images/images.env"
# shellcheck source=../../images/engine.sh
. "$ROOT/images/engine.sh"
# shellcheck source=demo.env
. "$here/demo.env"

# Debian's release that the images are made of.
SUITE=bookworm

# root_of FOLDER VARIANT PACKAGES: a Debian with these packages and what they need, as FOLDER/root.tar. VARIANT is
# mmdebstrap's: `essential` has a shell and installs the packages, `extract` only unpacks them.
root_of() {
  local root=$1/root.tar made_of="$SUITE $ARCH $2 $3"
  if [[ -e $root && $(cat "$1/.packages") == "$made_of" ]]; then
    return
  fi
  say "making a Debian with $3: once, up to a minute"
  mkdir -p "$LOG"
  mmdebstrap --architectures="$ARCH" --variant="$2" --include="$3" "$SUITE" "$root.new" >"$LOG/mmdebstrap" 2>&1 \
    || fail_with_log "$LOG/mmdebstrap" "mmdebstrap could not make a Debian with $3"
  mv "$root.new" "$root"
  printf '%s\n' "$made_of" >"$1/.packages"
}

# image_of NAME IMAGE VARIANT PACKAGES
image_of() {
  local folder=$DEMO/images/$1
  mkdir -p "$folder"
  cp --preserve=mode "$here/images/$1"/* "$folder/"
  root_of "$folder" "$3" "$4"
  if [[ $(in_use) == context:* ]]; then
    pick_engine
    image_build "$folder/Dockerfile" "$folder" "$2"
    image_push "$2"
  else
    "$ROOT/images/from-folder.sh" "$folder" "$2" || exit 1
  fi
}

install_debian_packages mmdebstrap
image_of thumbnails "$THUMBNAILS_IMAGE" essential imagemagick,jq
image_of redis "$REDIS_IMAGE" extract redis-server
