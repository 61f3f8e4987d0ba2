# shellcheck shell=bash
# What a cluster changes on the machine outside .cluster, and how that is put back: kernel settings and folders.

HOST_BEFORE=$STATE/host-before

# The kubelet sets those of kernel/ and vm/, the pod network needs those of net/.
HOST_SETTINGS=(
  kernel/keys/root_maxbytes
  kernel/keys/root_maxkeys
  kernel/panic
  kernel/panic_on_oops
  vm/overcommit_memory
  vm/panic_on_oom
  net/bridge/bridge-nf-call-iptables
  net/ipv4/ip_forward
)

# Folders that containerd, the kubelet and CNI use at fixed places. All else is configured to be below .cluster.
HOST_FOLDERS=(
  /run/containerd
  /var/lib/cni
  /var/lib/kubelet
  /var/log/containers
)

# Notes once how things were before the first change.
remember_host() {
  local setting folder
  [[ ! -e $HOST_BEFORE ]] || return 0
  # Bridged packets pass iptables only with this module; Services need that between pods of one node.
  [[ -e /proc/sys/net/bridge ]] || modprobe br_netfilter 2>/dev/null \
    || fail "the kernel has no br_netfilter, which Services between pods need: install the modules of kernel $(uname -r)"
  mkdir "$HOST_BEFORE.new"
  for setting in "${HOST_SETTINGS[@]}"; do
    mkdir -p "$HOST_BEFORE.new/settings/$(dirname "$setting")"
    cat "/proc/sys/$setting" >"$HOST_BEFORE.new/settings/$setting"
  done
  for folder in "${HOST_FOLDERS[@]}"; do
    [[ -e $folder ]] || printf '%s\n' "$folder" >>"$HOST_BEFORE.new/absent-folders"
  done
  mv "$HOST_BEFORE.new" "$HOST_BEFORE"
}

# Puts them back; folders go when they were not there before.
restore_host() {
  local setting folder
  [[ -e $HOST_BEFORE ]] || return 0
  for setting in "${HOST_SETTINGS[@]}"; do
    cat "$HOST_BEFORE/settings/$setting" >"/proc/sys/$setting"
  done
  # In folders that others use too, only what is recognisably ours.
  find /var/log/containers -maxdepth 1 -lname "$LOG/*" -delete 2>/dev/null || true
  grep --recursive --files-with-matches --null --fixed-strings "$RUN/" /var/lib/cni 2>/dev/null | xargs --null --no-run-if-empty rm -f
  if [[ -e $HOST_BEFORE/absent-folders ]]; then
    while read -r folder; do
      rm -rf "$folder"
    done <"$HOST_BEFORE/absent-folders"
  fi
  rm -rf "$HOST_BEFORE"
}
