#!/usr/bin/env bash
# Brings up a Kubernetes of one node on this bare machine; starts only what does not run yet.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster.env
. "$here/../cluster.env"
# shellcheck source=../../../images/images.env
. "$here/../../../images/images.env"
for library in ../say ../in-use ../debian ../../../images/engine \
  guard packages host cgroup network certificates programs containers system-images control-plane node; do
  # shellcheck source=/dev/null
  . "$here/$library.sh"
done

node_is_ready() {
  kubectl wait --for=condition=Ready --timeout=0 "node/$NODE"
}

dns_is_available() {
  kubectl --namespace kube-system rollout status --timeout=1s deployment/coredns
}

# A pod is refused until the controller manager has made its namespace's service account.
namespace_is_usable() {
  kubectl --namespace default get serviceaccount/default configmap/kube-root-ca.crt
}

write_addresses() {
  cat >"$STATE/addresses" <<ENV
CLUSTER_POD_PREFIX=$POD_PREFIX
CLUSTER_SERVICE_PREFIX=$SERVICE_PREFIX
CLUSTER_API_PORT=$API_PORT
CLUSTER_KUBELET_PORT=$KUBELET_PORT
CLUSTER_PROXY_HEALTH_PORT=$PROXY_HEALTH_PORT
CLUSTER_PROXY_METRICS_PORT=$PROXY_METRICS_PORT
ENV
}

if [[ -e $HOST_BEFORE && -z $(our_processes) ]]; then
  say 'the last cluster ended without down.sh, perhaps with the machine: clearing away what it left'
  "$here/down.sh" || exit 1
fi
refuse_unsuitable_machine
refuse_other_clusters
install_cluster_packages
refuse_used_names
refuse_used_port kube-apiserver "$NODE_ADDRESS" "$API_PORT" CLUSTER_API_PORT
refuse_used_port kubelet "$NODE_ADDRESS" "$KUBELET_PORT" CLUSTER_KUBELET_PORT
refuse_used_port kube-proxy 127.0.0.1 "$PROXY_HEALTH_PORT" CLUSTER_PROXY_HEALTH_PORT
refuse_used_port kube-proxy 127.0.0.1 "$PROXY_METRICS_PORT" CLUSTER_PROXY_METRICS_PORT

"$here/../build.sh" || exit 1
mkdir -p "$ETC" "$RUN" "$LOG" "$DATA" "$IMAGES"
build_system_images
make_certificates
install --mode=600 "$PKI/admin.kubeconfig" "$KUBECONFIG"

take_into_use local
write_addresses
[[ -e $HOST_BEFORE ]] || rm -rf "$LOG/pods"
remember_host
make_cgroup
network_up

start_etcd
start_containerd
wait_for 30 etcd 'etcd listens' test -S "$RUN/etcd:0"
start_apiserver
wait_for 30 containerd 'containerd answers' containerd_ctl version
import_system_images
wait_for 60 kube-apiserver 'the API server is ready' kubectl get --raw /readyz
start_controller_manager
start_scheduler
start_kubelet
start_proxy
sed "s|@COREDNS_IMAGE@|$COREDNS_IMAGE|; s|@DNS_SERVICE@|$DNS_SERVICE|" "$here/coredns/coredns.yaml.in" \
  | kubectl apply --filename - >"$LOG/coredns.apply" 2>&1 || fail_with_log "$LOG/coredns.apply" 'CoreDNS could not be applied'
wait_for 60 kube-controller-manager 'the namespace default can be used' namespace_is_usable
wait_for 60 kubelet 'the node is ready' node_is_ready
say "node $NODE is ready"
wait_for 60 kubelet 'CoreDNS is available' dns_is_available
say 'CoreDNS is available'
