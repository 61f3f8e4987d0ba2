# shellcheck shell=bash
# Refuses to start a cluster where it would disturb something that is on this machine already.

refuse_unsuitable_machine() {
  local longest=$DATA/kubelet/device-plugins/kubelet.sock.0000000000
  [[ $(uname -s) == Linux ]] || fail "CLUSTER=local needs Linux; elsewhere use CLUSTER=kind or CLUSTER=context:NAME"
  [[ $EUID -eq 0 ]] || fail "CLUSTER=local needs root; without it use CLUSTER=kind or CLUSTER=context:NAME"
  # A unix socket's path has at most 107 bytes.
  ((${#longest} <= 107)) || fail "the path of this checkout is $((${#longest} - 107)) characters too long for the kubelet's sockets: $ROOT"
}

# Two kubelets would end each other's pods, two kube-proxies fight for the same iptables chains, and a container engine
# has rules and folders of its own that ours would mix with.
refuse_other_clusters() {
  local folder name pid
  for folder in /proc/[0-9]*; do
    # One that has ended and waits for its parent has no program any more.
    readlink "$folder/exe" >/dev/null || continue
    { name=$(<"$folder/comm"); } 2>/dev/null || continue
    case $name in
      kubelet | kube-proxy | containerd | dockerd | crio | k3s* | rke2 | microk8s*) ;;
      *) continue ;;
    esac
    pid=${folder#/proc/}
    if ! is_ours "$pid"; then
      fail "$name (process $pid) runs here and is not this checkout's: stop it, or use CLUSTER=kind or CLUSTER=context:NAME"
    fi
  done
}

# Only before the first start: from then on the chains, routes and the bridge are our own.
refuse_used_names() {
  local subnet route
  [[ ! -e $HOST_BEFORE ]] || return 0
  if iptables-save 2>/dev/null | grep --quiet '^:KUBE-'; then
    fail "iptables has chains of another Kubernetes (KUBE-*): remove it from this machine, or use CLUSTER=context:NAME"
  fi
  if ip link show "$BRIDGE" >/dev/null 2>&1; then
    fail "there is a network interface $BRIDGE already, and not of this checkout: run down.sh in the one that it belongs to"
  fi
  for subnet in "$POD_SUBNET" "$SERVICE_SUBNET"; do
    route=$(
      ip -4 route show table all root "$subnet"
      ip -4 route show table all match "${subnet%/*}" | grep -v '^default' || true
    )
    [[ -z $route ]] || fail "$subnet is in use here ($(head -n 1 <<<"$route")): set CLUSTER_POD_PREFIX and CLUSTER_SERVICE_PREFIX, for example to 10.185 and 10.196"
  done
}

# refuse_used_port PROGRAM ADDRESS PORT VARIABLE: unless the program itself has it.
refuse_used_port() {
  local listener
  if running "$1"; then
    return
  fi
  listener=$(ss --no-header --listening --tcp --numeric --processes "sport = :$3 and ( src $2 or src 0.0.0.0 or src [::] )")
  [[ -z $listener ]] || fail "port $3 of $2 is taken, and $1 needs it: set $4 to another port; now: $listener"
}
