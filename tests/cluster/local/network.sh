# shellcheck shell=bash
# The node's network: the bridge that pods hang on, its firewall rules, and the removal of kube-proxy's and the kubelet's chains.

# A fixed address: otherwise the bridge takes that of one of its pods, and changes it when pods come and go.
BRIDGE_MAC=02:00:00:00:85:01
BRIDGE_RULES=(
  "INPUT --in-interface $BRIDGE"
  "FORWARD --in-interface $BRIDGE --out-interface $BRIDGE"
)

network_up() {
  local rule
  ip link show "$BRIDGE" >/dev/null 2>&1 || ip link add "$BRIDGE" address "$BRIDGE_MAC" type bridge
  # The node's own address is here, so that the control plane, which listens on it, can be reached from this machine only.
  ip address replace "$NODE_ADDRESS/16" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
  # For machines whose firewall drops what it does not know.
  for rule in "${BRIDGE_RULES[@]}"; do
    # shellcheck disable=SC2086 # a rule is several words
    iptables --wait --check $rule --jump ACCEPT 2>/dev/null || iptables --wait --insert $rule --jump ACCEPT
  done
}

network_down() {
  local rule
  if command -v iptables >/dev/null; then
    for rule in "${BRIDGE_RULES[@]}"; do
      # shellcheck disable=SC2086 # a rule is several words
      while iptables --wait --delete $rule --jump ACCEPT 2>/dev/null; do :; done
    done
    remove_kubernetes_chains iptables
    remove_kubernetes_chains ip6tables
  fi
  ip link delete "$BRIDGE" 2>/dev/null || true
}

# Removes every KUBE-* chain and what leads to it from the tables of iptables or ip6tables ($1), one transaction a table.
remove_kubernetes_chains() {
  local table changes
  for table in filter nat mangle; do
    # Without IPv6 in the kernel ip6tables has no tables to show.
    changes=$({ "$1-save" --table "$table" 2>/dev/null || true; } | awk -v table="$table" '
      /^:KUBE-/ { chain[++chains] = substr($1, 2) }
      /^-A/ && !/^-A KUBE-/ && / -j KUBE-/ { sub(/^-A/, "-D"); jump[++jumps] = $0 }
      END {
        if (!chains) exit
        print "*" table
        for (i = 1; i <= jumps; i++) print jump[i]
        for (i = 1; i <= chains; i++) print ":" chain[i] " - [0:0]"
        for (i = 1; i <= chains; i++) print "-X " chain[i]
        print "COMMIT"
      }')
    [[ -z $changes ]] || "$1-restore" --wait --noflush <<<"$changes"
  done
}
