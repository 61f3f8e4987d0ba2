#!/usr/bin/env bash
# Ends the Kubernetes of this machine and puts the machine back as it was. Programs, certificates and image archives stay for the next time.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster.env
. "$here/../cluster.env"
for library in ../say host cgroup network programs containers; do
  # shellcheck source=/dev/null
  . "$here/$library.sh"
done

# Nothing is changed before that is there; a bridge without it is another checkout's.
[[ -e $HOST_BEFORE ]] || exit 0

# Whoever starts containers ends first, then the containers, then what they stand on.
stop kubelet
stop kube-proxy
stop kube-scheduler
stop kube-controller-manager
remove_containers
remove_cgroup
# Without asking: it would wait for its clients first, and all that it holds is thrown away.
stop kube-apiserver KILL
stop containerd
stop etcd
stop_leftovers
remove_mounts
network_down
restore_host
rm -rf "$DATA" "$RUN" "$ETC" "$STATE/addresses"
