#!/usr/bin/env bash
# Builds the images that the tests and ledgers on a cluster use, and brings them to the one in use: of the tasks, and Redis'.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/say.sh
. "$here/../cluster/say.sh"
# shellcheck source=../../images/images.env
. "$ROOT/images/images.env"

# The folders that the images are built from.
FOLDERS=$STATE/e2e

# folder_of NAME: what is in git for an image, beside what is made for it.
folder_of() {
  local folder=$FOLDERS/$1
  mkdir -p "$folder"
  cp --preserve=mode "$here/images/$1"/* "$folder/"
  printf '%s\n' "$folder"
}

shell_image() {
  local folder
  folder=$(folder_of shell)
  cp "$(command -v busybox)" "$folder/busybox"
  "$ROOT/images/from-folder.sh" "$folder" "$REGISTRY/petiole-e2e:1" || exit 1
}

python_image() {
  local folder
  folder=$(folder_of python)
  "$ROOT/images/debian-root.sh" "$folder" extract python3 || exit 1
  cp "$ROOT/examples/handlers/python/handler.py" "$folder/"
  rm -rf "$folder/tests"
  mkdir -p "$folder/tests/ledger/handlers" "$folder/tests/rig"
  cp "$ROOT"/tests/ledger/handlers/*.py "$folder/tests/ledger/handlers/"
  cp "$ROOT"/tests/rig/{__init__,word,exec_handler,serve_handler}.py "$folder/tests/rig/"
  "$ROOT/images/from-folder.sh" "$folder" "$REGISTRY/petiole-e2e-python:1" || exit 1
}

# The packages that stock Celery needs on Redis, as the tests' own client has them.
CELERY_PACKAGES=(amqp billiard celery click click_didyoumean click_plugins.py click_repl dateutil kombu packaging
  prompt_toolkit redis six.py typing_extensions.py tzlocal vine wcwidth)

celery_image() {
  local folder packages=$ROOT/.venv/celery/lib/python3.11/site-packages
  folder=$(folder_of celery)
  # Debian's Python is older than 3.11.3, and there the Redis client needs async-timeout.
  "$ROOT/images/debian-root.sh" "$folder" extract python3,python3-async-timeout,tzdata || exit 1
  rm -rf "$folder/packages"
  mkdir -p "$folder/packages"
  # kombu asks for the version of the Redis client, which stands beside it.
  (cd "$packages" && tar --create --exclude=__pycache__ "${CELERY_PACKAGES[@]}" redis-*.dist-info) \
    | tar --extract --directory="$folder/packages"
  "$ROOT/images/from-folder.sh" "$folder" "$REGISTRY/petiole-e2e-celery:1" || exit 1
}

# Static: an image needs nothing beside it.
command -v busybox >/dev/null || "$here/../install.sh" busybox-static || exit 1
shell_image
python_image
celery_image
"$here/../demo/images.sh" redis || exit 1
