#!/bin/sh
# A Petiole task (mode Exec) in POSIX shell: makes a file's name tidy. See docs/task-contract.md.
#
#   tasks:
#   - name: demo.tidy
#     command: ["/handler.sh", "$(kwargs.style)"]     # an argument from the message: never split, never run
#     result: json
#
# Called as demo.tidy.delay("My Photo.JPG", style="lower"). The same values stand in the request on standard input,
# as {"id": …, "task": …, "retries": 0, "redelivered": false, "args": ["My Photo.JPG"], "kwargs": {"style": "lower"}}.
set -eu

style=${1:-lower}
request=$(cat)

# The first argument: with jq where the image has it, else with sed, which is enough for a plain string.
if command -v jq >/dev/null 2>&1; then
    name=$(printf '%s' "$request" | jq -r '.args[0] // empty')
else
    name=$(printf '%s' "$request" | sed -n 's/.*"args": *\[ *"\([^"\\]*\)".*/\1/p')
fi

# Standard error is the log. Its end becomes the traceback that a Celery client sees, should the task fail.
echo "$PETIOLE_TASK_NAME $PETIOLE_TASK_ID (retry $PETIOLE_RETRIES): '$name'" >&2

# The soft time limit is SIGTERM: clean up and end. The hard one cannot be caught.
trap 'echo "out of time" >&2; exit 1' TERM

case $style in
lower) tidy=$(printf '%s' "$name" | tr 'A-Z ' 'a-z_') ;;
upper) tidy=$(printf '%s' "$name" | tr 'a-z ' 'A-Z_') ;;
later)
    # 75 (EX_TEMPFAIL) says that trying again may help.
    echo "not yet" >&2
    exit 75
    ;;
*)
    # The report file names the exception that the client raises; without it this were CalledProcessError(2, …).
    cat >"$PETIOLE_RESULT" <<REPORT
{"error": {"type": "ValueError", "message": "style is lower or upper"}}
REPORT
    exit 2
    ;;
esac

if [ -z "$name" ]; then
    echo "the first argument has to be a name" >&2
    exit 1
fi

# Standard output is the value, as JSON. (result: text takes it as it is; result: file takes it from the report
# file, {"result": …}, and standard output is log then.)
printf '"%s"\n' "$tidy"
