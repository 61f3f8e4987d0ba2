#!/usr/bin/env bash
# Builds an image from any folder with a Dockerfile and brings it into the cluster in use: `from-folder.sh FOLDER IMAGE`.
# An image that was built from the same files before is not built again.
# For the images of tasks, in the demo and in tests: name them $REGISTRY/NAME:TAG and use imagePullPolicy IfNotPresent.
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
# shellcheck source=images.env
. "$here/images.env"
# shellcheck source=engine.sh
. "$here/engine.sh"

[[ $# -eq 2 ]] || fail 'write from-folder.sh FOLDER IMAGE, for example from-folder.sh demo/thumbnails localhost/thumbnails:1'
[[ -e $1/Dockerfile ]] || fail "there is no Dockerfile in $1"
# One hash over the files of folder $1 and the local images that its Dockerfile starts from.
source_of() {
  {
    (cd "$1" && find . -printf '%P %y %m %l\n' | sort && find . -type f -print0 | sort --zero-terminated | xargs -0 sha256sum)
    sed -n 's|^FROM \(localhost/[^ ]*\).*|\1|p' "$1/Dockerfile" | while read -r base; do image_id "$base"; done
  } | sha256sum | cut -d ' ' -f 1
}

pick_engine
source=$(source_of "$1")
if [[ $(image_source "$2") == "$source" ]]; then
  say "image $2 is built from $1 as it is"
else
  image_build "$1/Dockerfile" "$1" "$2" "$source"
  say "built image $2 from $1"
fi
if [[ $(in_use) == context:* ]]; then
  image_push "$2" || fail "$2 could not be pushed: the nodes of CLUSTER=$(in_use) take images from a registry, REGISTRY=registry.example/team"
  say "pushed image $2"
else
  "$here/load.sh" "$2" || exit 1
fi
