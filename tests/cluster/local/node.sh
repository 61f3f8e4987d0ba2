# shellcheck shell=bash
# Starts containerd, the kubelet and kube-proxy.

# Pods get an address from the bridge's subnet and a route to Services, and none to anywhere else: nothing leaves the machine.
write_cni_config() {
  mkdir -p "$ETC/cni"
  cat >"$ETC/cni/petiole.conflist" <<JSON
{
  "cniVersion": "0.4.0",
  "name": "$BRIDGE",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "$BRIDGE",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "$DATA/cni",
        "ranges": [[{ "subnet": "$POD_SUBNET", "gateway": "$NODE_ADDRESS" }]],
        "routes": [{ "dst": "$SERVICE_SUBNET" }]
      }
    }
  ]
}
JSON
}

start_containerd() {
  if running containerd; then
    return
  fi
  write_cni_config
  cat >"$ETC/containerd.toml" <<TOML
version = 2
root = "$DATA/containerd"
state = "$RUN/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
address = "$CONTAINERD_SOCKET"

[plugins."io.containerd.internal.v1.opt"]
path = "$DATA/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$PAUSE_IMAGE"
# Without CAP_SYS_RESOURCE runc may not lower the score, and dies.
restrict_oom_score_adj = true
# In place of /run/netns.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$ETC/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "$RUN/runc"
TOML
  start containerd containerd --config "$ETC/containerd.toml"
}

start_kubelet() {
  if running kubelet; then
    return
  fi
  cat >"$ETC/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_ADDRESS
port: $KUBELET_PORT
healthzPort: 0
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}

containerRuntimeEndpoint: unix://$CONTAINERD_SOCKET
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failSwapOn: false
oomScoreAdj: 0
podLogsDir: $LOG/pods
volumePluginDir: $DATA/kubelet-plugins

clusterDomain: cluster.local
clusterDNS: [$DNS_SERVICE]
# Pods that ask for the node's DNS get none: nothing leaves the machine.
resolvConf: ""

maxPods: 200
# How soon a changed ConfigMap or Secret shows in a pod.
syncFrequency: 10s
# A developer's full disk is no reason to evict, nor to delete images that no registry can give back.
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
YAML
  start kubelet "$BIN/kubelet" \
    --config="$ETC/kubelet.yaml" \
    --kubeconfig="$PKI/kubelet.kubeconfig" \
    --root-dir="$DATA/kubelet" \
    --cert-dir="$DATA/kubelet/pki" \
    --hostname-override="$NODE" \
    --node-ip="$NODE_ADDRESS" \
    --containerd="$CONTAINERD_SOCKET"
}

start_proxy() {
  # The zeroes leave connection tracking as the machine has it.
  start kube-proxy "$BIN/kube-proxy" \
    --kubeconfig="$PKI/proxy.kubeconfig" \
    --hostname-override="$NODE" \
    --proxy-mode=iptables \
    --cluster-cidr="$POD_SUBNET" \
    --nodeport-addresses="$POD_SUBNET" \
    --iptables-localhost-nodeports=false \
    --healthz-bind-address="127.0.0.1:$PROXY_HEALTH_PORT" \
    --metrics-bind-address="127.0.0.1:$PROXY_METRICS_PORT" \
    --oom-score-adj=0 \
    --conntrack-max-per-core=0 \
    --conntrack-min=0 \
    --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0
}
