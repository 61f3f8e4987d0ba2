# shellcheck shell=bash
# Starts etcd, the API server, the controller manager and the scheduler.

start_etcd() {
  # A unix socket that only root may use, in place of ports and certificates. This etcd wants the form HOST:PORT even then
  # and makes a file of that name in its working folder, which is $RUN.
  # One that was killed leaves its sockets, and would not start over them.
  running etcd || rm -f "$RUN/etcd:0" "$RUN/etcd-peer:0"
  start etcd etcd \
    --data-dir="$DATA/etcd" \
    --listen-client-urls=unix://etcd:0 \
    --advertise-client-urls=unix://etcd:0 \
    --listen-peer-urls=unix://etcd-peer:0 \
    --unsafe-no-fsync
}

start_apiserver() {
  # shellcheck disable=SC2054 # the commas are the flags' own
  local flags=(
    --etcd-servers="unix://$RUN/etcd:0"
    --bind-address="$NODE_ADDRESS"
    --secure-port="$API_PORT"
    --advertise-address="$NODE_ADDRESS"
    --service-cluster-ip-range="$SERVICE_SUBNET"
    --authorization-mode=Node,RBAC
    --allow-privileged=true
    --tls-cert-file="$PKI/apiserver.crt"
    --tls-private-key-file="$PKI/apiserver.key"
    --client-ca-file="$PKI/ca.crt"
    --service-account-issuer=https://kubernetes.default.svc
    --service-account-key-file="$PKI/service-account.pub"
    --service-account-signing-key-file="$PKI/service-account.key"

    # For logs, exec and port-forward.
    --kubelet-preferred-address-types=InternalIP
    --kubelet-certificate-authority="$PKI/ca.crt"
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt"
    --kubelet-client-key="$PKI/apiserver-kubelet-client.key"

    # For aggregated APIs such as external.metrics.k8s.io: requests go to the endpoints of the Service and bear this identity.
    --enable-aggregator-routing=true
    --requestheader-client-ca-file="$PKI/ca.crt"
    --requestheader-allowed-names=front-proxy
    --requestheader-username-headers=X-Remote-User
    --requestheader-group-headers=X-Remote-Group
    --requestheader-extra-headers-prefix=X-Remote-Extra-
    --proxy-client-cert-file="$PKI/front-proxy.crt"
    --proxy-client-key-file="$PKI/front-proxy.key"
  )
  start kube-apiserver "$BIN/kube-apiserver" "${flags[@]}"
}

# The controllers make 40 service accounts for themselves at the first start: 5 seconds of it at the default of 20 calls a second.
# One instance of each, so no leader election; and nobody asks them anything, so no port.
start_controller_manager() {
  start kube-controller-manager "$BIN/kube-controller-manager" \
    --kubeconfig="$PKI/controller-manager.kubeconfig" \
    --leader-elect=false \
    --secure-port=0 \
    --use-service-account-credentials=true \
    --service-account-private-key-file="$PKI/service-account.key" \
    --root-ca-file="$PKI/ca.crt" \
    --flex-volume-plugin-dir="$DATA/kubelet-plugins" \
    --kube-api-qps=100 \
    --kube-api-burst=200 \
    --horizontal-pod-autoscaler-sync-period=5s
}

start_scheduler() {
  start kube-scheduler "$BIN/kube-scheduler" \
    --kubeconfig="$PKI/scheduler.kubeconfig" \
    --leader-elect=false \
    --secure-port=0
}
