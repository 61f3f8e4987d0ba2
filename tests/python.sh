#!/bin/sh
# Makes .venv/celery: a stock Celery and pytest, as tests/requirements.txt pins them. With a name (`python.sh browser`)
# makes .venv/NAME from tests/requirements-NAME.txt. Does nothing when it is there.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
name=${1:-celery}
venv=$root/.venv/$name
python=${PYTHON:-python3}
pins=$root/tests/requirements.txt
[ "$name" = celery ] || pins=$root/tests/requirements-$name.txt

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "python: $("$python" --version) is too old: Python 3.11 or later is needed; name another one by PYTHON=" >&2
    exit 1
fi

# The stamp holds what the folder was made from. The path is part of it: a virtual environment cannot be moved.
stamp=$(printf '%s\n' "$root" "$("$python" --version)" && cat "$root/tests/requirements.txt" "$pins")
if [ -f "$venv/stamp" ] && [ "$(cat "$venv/stamp")" = "$stamp" ]; then
    exit 0
fi

echo "python: making .venv/$name with Celery and pytest (about half a minute)" >&2
rm -rf "$venv"
mkdir -p "$root/.venv"
if ! "$python" -m ensurepip --version >/dev/null 2>&1; then
    # Debian keeps the part of Python that makes virtual environments in a package of its own.
    "$root/tests/install.sh" python3-venv
fi
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$pins"
# `import rig` works from tests, ledgers and benches alike.
"$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])' | while read -r packages; do
    echo "$root/tests" >"$packages/petiole.pth"
done
printf '%s\n' "$stamp" >"$venv/stamp"
