# shellcheck shell=bash
# Images and containers in our containerd, and the mounts that they leave.

# Everything of Kubernetes is in containerd's namespace k8s.io.
containerd_ctl() {
  ctr --address "$CONTAINERD_SOCKET" --namespace k8s.io "$@"
}

# import_image ARCHIVE
import_image() {
  containerd_ctl images import "$1" >"$LOG/import" 2>&1 || fail_with_log "$LOG/import" "containerd does not take the image in $1"
}

# Ends all containers without asking: their cluster is going away, and with it whatever they would save.
remove_containers() {
  local task
  running containerd || return 0
  for task in $(containerd_ctl tasks list --quiet 2>/dev/null); do
    containerd_ctl tasks delete --force "$task" >/dev/null 2>&1 &
  done
  wait
}

# The mount points below .cluster, the innermost first.
mounts() {
  # Blanks in paths are written as \040.
  cut -d ' ' -f 5 /proc/self/mountinfo | while read -r path; do
    path=$(printf '%b' "$path")
    [[ $path != "$STATE"/* ]] || printf '%s\n' "$path"
  done | sort --reverse
}

remove_mounts() {
  local mount
  while read -r mount; do
    umount "$mount" 2>/dev/null || umount --lazy "$mount" 2>/dev/null || true
  done < <(mounts)
  mount=$(mounts | head -n 1)
  [[ -z $mount ]] || fail "$mount cannot be unmounted: end what uses it (fuser --mount) and run down.sh again"
}
