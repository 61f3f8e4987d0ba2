#!/usr/bin/env bash
# Tells whether a cluster can run here. When it cannot, prints what is missing, in one line, and ends with 1.
# A CLUSTER other than local was asked for by name: whatever it lacks is an error, not a reason to go without it.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=cluster.env
. "$here/cluster.env"
# shellcheck source=in-use.sh
. "$here/in-use.sh"
# shellcheck source=local/cgroup.sh
. "$here/local/cgroup.sh"
# shellcheck source=local/programs.sh
. "$here/local/programs.sh"
# shellcheck source=local/guard.sh
. "$here/local/guard.sh"

# What the guard ends with, without the clock of say.sh.
fail() {
  printf '%s\n' "$*"
  exit 1
}

# refuse_missing_capability NAME BIT: containers and sandboxes often have a root without these.
refuse_missing_capability() {
  local effective
  effective=$((16#$(sed -n 's/^CapEff:[[:blank:]]*//p' /proc/self/status)))
  ((effective >> $2 & 1)) || fail "root has no $1 here, as in an unprivileged container"
}

refuse_read_only_cgroups() {
  local folder probe
  [[ -n $(cgroup_folders) ]] || fail 'no control groups are mounted at /sys/fs/cgroup'
  while read -r folder; do
    [[ ! -e $folder ]] || continue
    probe=$folder-probe-$$
    { mkdir "$probe" && rmdir "$probe"; } 2>/dev/null || fail "no control group can be made in $(dirname "$folder")"
  done < <(cgroup_folders)
}

refuse_no_iptables() {
  # Where it is missing, up.sh installs it.
  command -v iptables >/dev/null || return 0
  iptables --wait --list-rules >/dev/null 2>&1 || fail 'iptables does not work here (iptables --list-rules)'
}

refuse_no_programs() {
  command -v dpkg-query >/dev/null || fail 'this is not Debian or Ubuntu, whose packages the local cluster is made of'
  # build.sh says more, should Go be too old.
  [[ -e $BIN/.kubernetes && -e $BIN/.helm && -e $BIN/.coredns ]] || command -v go >/dev/null \
    || fail 'Go is not installed, which builds Kubernetes'
}

cluster=${CLUSTER:-$(in_use)}
[[ ${cluster:-local} == local ]] || exit 0
# One that runs is possible.
[[ -z $(our_processes) ]] || exit 0
refuse_unsuitable_machine
refuse_missing_capability CAP_SYS_ADMIN 21
refuse_missing_capability CAP_NET_ADMIN 12
refuse_read_only_cgroups
[[ -w /proc/sys/net/ipv4/ip_forward ]] || fail '/proc/sys is read-only here'
refuse_no_iptables
refuse_no_programs
refuse_other_clusters
