#!/usr/bin/env bash
# Builds the images of worker and operator from dist/ and brings them to the cluster in use: into its nodes, or, for a
# CLUSTER=context:NAME, to the registry that REGISTRY names.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../tests/cluster/cluster.env
. "$here/../tests/cluster/cluster.env"
# shellcheck source=../tests/cluster/in-use.sh
. "$here/../tests/cluster/in-use.sh"

if [[ $(in_use) == context:* ]]; then
  "$here/build.sh" push
else
  "$here/build.sh"
  "$here/load.sh"
fi
