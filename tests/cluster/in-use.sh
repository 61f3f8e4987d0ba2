# shellcheck shell=bash
# Remembers which cluster this checkout uses, so that only `up` needs to be told: local, kind or context:NAME.

IN_USE_FILE=$STATE/in-use

# Prints the cluster in use, or nothing.
in_use() {
  if [[ -e $IN_USE_FILE ]]; then
    cat "$IN_USE_FILE"
  fi
}

# Refuses cluster $1 while this checkout uses another one.
refuse_second_cluster() {
  local now
  now=$(in_use)
  [[ -z $now || $now == "$1" ]] || fail "this checkout uses CLUSTER=$now: run down.sh (make cluster-down) before CLUSTER=$1"
}

take_into_use() {
  printf '%s\n' "$1" >"$IN_USE_FILE"
}

# One `up` or `down` at a time; what they start must not inherit the lock (see 9>&- in local/programs.sh).
take_lock() {
  exec 9>"$STATE/lock"
  flock --wait 600 9 || fail "another up.sh or down.sh has held $STATE/lock for ten minutes"
}
