#!/usr/bin/env bash
# Checks the charts without a cluster: lints them, renders them with several sets of values, and holds what comes out against
# what is promised (charts/tests).
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../tests/cluster/cluster.env
. "$here/../tests/cluster/cluster.env"
# shellcheck source=../tests/cluster/say.sh
. "$here/../tests/cluster/say.sh"

mkdir -p "$STATE"
"$here/../tests/cluster/build.sh" helm || exit 1
"$here/../tests/python.sh" || exit 1
cd "$ROOT"
exec .venv/celery/bin/python -B -m pytest --quiet --tb=short -p no:cacheprovider "$@" charts/tests
