# shellcheck shell=bash
# What the scripts print: a line per step with the seconds since the outermost script began, and failures that say where to look.

SAY_BEGAN=${SAY_BEGAN:-${EPOCHREALTIME/[.,]/}}
export SAY_BEGAN

# Tenths of a second since the outermost script began, as "12.3".
elapsed() {
  local tenths=$(((${EPOCHREALTIME/[.,]/} - SAY_BEGAN) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

say() {
  printf '%7ss  %s\n' "$(elapsed)" "$*"
}

# A command that fails where nobody looks must not end a script in silence.
set -o errtrace
trap 'say "error: line $LINENO of ${BASH_SOURCE[0]:-this script}: $BASH_COMMAND" >&2' ERR

# Ends the script with a reason that says what to do.
fail() {
  printf '%7ss  error: %s\n' "$(elapsed)" "$*" >&2
  exit 1
}

# fail_with_log FILE REASON...: likewise, with the end of the log that explains it.
fail_with_log() {
  local log=$1
  shift
  {
    printf '%7ss  error: %s\n' "$(elapsed)" "$*"
    if [[ -s $log ]]; then
      printf '          the last lines of %s:\n' "$log"
      tail -n 20 "$log" | cut -c 1-400 | sed 's/^/          | /'
    else
      printf '          %s is empty\n' "$log"
    fi
  } >&2
  exit 1
}
