# shellcheck shell=bash
# Starts, watches and ends the cluster's programs, each known by its name: run/NAME.pid and log/NAME.

# In the environment of every program of the cluster, and of what those start. A number in an old file may belong to any
# process by now; this tells ours.
MARK=PETIOLE_CLUSTER=$STATE

is_ours() {
  grep --quiet --null-data --line-regexp --fixed-strings "$MARK" "/proc/$1/environ" 2>/dev/null
}

# Prints the process id of program $1 while it runs.
pid_of() {
  local pid
  [[ -e $RUN/$1.pid ]] || return 1
  pid=$(<"$RUN/$1.pid")
  is_ours "$pid" && printf '%s\n' "$pid"
}

running() {
  pid_of "$1" >/dev/null
}

# Prints the process ids of all programs of the cluster and of containerd's shims.
our_processes() {
  { grep --files-with-matches --null-data --line-regexp --fixed-strings "$MARK" /proc/[0-9]*/environ 2>/dev/null || true; } \
    | cut -d / -f 3
}

# start NAME COMMAND...: unless it runs; in $RUN, in a session of its own, with nothing of the caller's environment.
start() {
  local name=$1
  shift
  if running "$name"; then
    return
  fi
  # The lock of up.sh (9) is the caller's, not the program's.
  env --chdir="$RUN" --ignore-environment "$MARK" PATH="$PATH" HOME="$RUN" setsid "$@" >"$LOG/$name" 2>&1 </dev/null 9>&- &
  printf '%s\n' "$!" >"$RUN/$name.pid"
  # Between fork and exec the process does not bear the mark yet.
  until running "$name" || ! kill -0 "$!" 2>/dev/null; do sleep 0.01; done
  say "started $name"
}

# wait_for SECONDS PROGRAM WHAT COMMAND...: until the command succeeds; not longer than the program lives.
wait_for() {
  local seconds=$1 program=$2 what=$3
  local deadline=$((SECONDS + seconds))
  shift 3
  until "$@" >/dev/null 2>&1; do
    running "$program" || fail_with_log "$LOG/$program" "$program has ended, before: $what"
    ((SECONDS < deadline)) || fail_with_log "$LOG/$program" "still not after $seconds s: $what"
    sleep 0.1
  done
}

# stop NAME [SIGNAL]: asks it to end, and makes it end after 10 seconds.
stop() {
  local name=$1 signal=${2:-TERM} pid deadline=$((SECONDS + 10))
  if pid=$(pid_of "$name"); then
    kill -s "$signal" "$pid" 2>/dev/null || true
    while running "$name"; do
      if ((SECONDS >= deadline)); then
        say "$name does not end by itself: killing it"
        kill -s KILL "$pid" 2>/dev/null || true
        deadline=$((SECONDS + 10))
      fi
      sleep 0.05
    done
    say "stopped $name"
  fi
  rm -f "$RUN/$name.pid"
}

# Ends whatever else bears the mark, such as a shim of containerd that has lost its container.
stop_leftovers() {
  local pid deadline=$((SECONDS + 10))
  while [[ -n $(our_processes) ]]; do
    ((SECONDS < deadline)) || fail "these processes of the cluster do not end: $(our_processes | paste -s -d ' ')"
    while read -r pid; do
      kill -s KILL "$pid" 2>/dev/null || true
    done < <(our_processes)
    sleep 0.05
  done
}
