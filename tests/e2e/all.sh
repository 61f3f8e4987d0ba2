#!/usr/bin/env bash
# All tests on the cluster in use, whose images are there: the tests here, and the ledgers at SCALE.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/in-use.sh
. "$here/../cluster/in-use.sh"

python=$ROOT/.venv/celery/bin/python
cd "$ROOT"
"$python" -m pytest -c tests/pytest.ini tests/e2e
# A ledger needs a cluster of this machine: see on-this-machine.sh.
[[ $(in_use) == context:* ]] || "$python" tests/ledger/run.py --cluster
