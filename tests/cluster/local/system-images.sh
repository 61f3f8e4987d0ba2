# shellcheck shell=bash
# The two images that the cluster itself needs, built here and kept as archives in .cluster/images.

SYSTEM_IMAGES=$(dirname "$(realpath "${BASH_SOURCE[0]}")")

build_system_images() {
  build_system_image pause "$PAUSE_IMAGE" /bin/busybox
  build_system_image coredns "$COREDNS_IMAGE" "$BIN/coredns"
}

# build_system_image NAME IMAGE PROGRAM: unless the archive is younger than what it is made of.
build_system_image() {
  local archive=$IMAGES/$1.tar dockerfile=$SYSTEM_IMAGES/$1/Dockerfile context
  if [[ $archive -nt $dockerfile && $archive -nt $3 ]]; then
    return
  fi
  pick_engine
  context=$(mktemp -d "$RUN/context.XXXXXX")
  cp "$3" "$context/"
  image_build "$dockerfile" "$context" "$2"
  rm -rf "$context"
  image_save "$2" "$archive.new"
  mv "$archive.new" "$archive"
  say "built image $2"
}

import_system_images() {
  local present name
  present=$(containerd_ctl images list --quiet)
  for name in pause coredns; do
    grep --quiet --fixed-strings "/petiole-cluster/$name:" <<<"$present" || import_image "$IMAGES/$name.tar"
  done
}
