#!/usr/bin/env bash
# Checks the local cluster for real: brings it up, runs pods that use what Petiole needs of Kubernetes, takes it down,
# and compares the machine with what it was before.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=cluster.env
. "$here/cluster.env"
# shellcheck source=say.sh
. "$here/say.sh"
# shellcheck source=in-use.sh
. "$here/in-use.sh"
# shellcheck source=debian.sh
. "$here/debian.sh"
# shellcheck source=local/host.sh
. "$here/local/host.sh"
# shellcheck source=local/cgroup.sh
. "$here/local/cgroup.sh"
# shellcheck source=local/programs.sh
. "$here/local/programs.sh"
# shellcheck source=local/containers.sh
. "$here/local/containers.sh"
# shellcheck source=local/packages.sh
. "$here/local/packages.sh"

export CLUSTER=local
smoke=(kubectl --namespace smoke)

# Everything of the machine that a cluster touches. What our own folder is called must not be in the way of a comparison.
machine() {
  local setting folder
  our_processes | sed 's/^/process /'
  mounts | sed 's/^/mount /'
  ip -oneline link show | awk -F ': ' '{ print "interface", $2 }'
  ip -4 route show table all | sed 's/^/route /'
  { iptables-save && ip6tables-save; } | sed -n 's/ \[.*//; /^-A/p; /^:[^ ]* -$/p'
  for setting in "${HOST_SETTINGS[@]}"; do
    printf 'setting %s %s\n' "$setting" "$(<"/proc/sys/$setting")"
  done
  cgroup_folders | while read -r folder; do [[ ! -e $folder ]] || find "$folder" -type d; done
  for folder in "${HOST_FOLDERS[@]}" /etc/cni /opt/cni /opt/containerd /run/netns /run/runc /usr/libexec/kubernetes /var/log/pods /var/run/kubernetes; do
    [[ ! -e $folder ]] || printf 'folder %s\n' "$folder"
  done
}

# expect WHAT COMMAND...: the command succeeds, or the check ends with what it printed and how the pods are.
expect() {
  local what=$1 output
  shift
  if ! output=$("$@" 2>&1); then
    {
      "${smoke[@]}" describe pods || true
      printf '\n%s:\n%s\n' "$what" "$output"
    } >"$LOG/smoke" 2>&1
    fail_with_log "$LOG/smoke" "not so: $what (the cluster stays up: look at it, then run down.sh)"
  fi
  say "ok: $what"
}

# prints TEXT COMMAND...: what the command prints, on either stream, has this text in it.
prints() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || true
  printf '%s\n' "$output"
  [[ $output == *"$text"* ]]
}

in_client() {
  "${smoke[@]}" exec client -- "$@"
}

pod_reaches() {
  "${smoke[@]}" wait --for="$2" --timeout=60s "pod/$1"
}

api_with_token() {
  # shellcheck disable=SC2016 # the pod's shell reads the token
  prints gitVersion in_client sh -c \
    'wget -q -O - --no-check-certificate --header "Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)" https://kubernetes.default/version'
}

forwarded_port() {
  local forward answer
  exec 8< <(exec kubectl --namespace smoke port-forward pod/server :8080)
  forward=$!
  read -r -t 30 answer <&8 || true
  # "Forwarding from 127.0.0.1:40000 -> 8080"
  answer=${answer#*127.0.0.1:}
  exec 7<>"/dev/tcp/127.0.0.1/${answer%% *}" || return 1
  printf 'GET /index.html HTTP/1.0\r\n\r\n' >&7
  answer=$(timeout 30 cat <&7) || true
  exec 7>&- 8<&-
  kill "$forward"
  prints served printf '%s' "$answer"
}

evict_server() {
  kubectl create --raw /api/v1/namespaces/smoke/pods/server/eviction --filename - <<'JSON'
{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "server", "namespace": "smoke"}}
JSON
}

evict_server_without_budget() {
  "${smoke[@]}" delete poddisruptionbudget/server && evict_server && "${smoke[@]}" wait --for=delete --timeout=60s pod/server
}

privileged_pod() {
  "${smoke[@]}" run privileged --image=localhost/petiole-smoke:1 --privileged
}

build_smoke_image() {
  local context
  context=$(mktemp -d "$RUN/context.XXXXXX")
  cp "$here/smoke/Dockerfile" /bin/busybox "$context/"
  "$here/../../images/from-folder.sh" "$context" localhost/petiole-smoke:1 || exit 1
  rm -rf "$context"
}

[[ -z $(in_use) ]] || fail "CLUSTER=$(in_use) is in use: run down.sh first, this check brings up its own"
mkdir -p "$LOG"
install_cluster_packages
before=$(machine)

"$here/up.sh" || exit 1
build_smoke_image
expect 'objects are accepted' kubectl apply --filename "$here/smoke/objects.yaml"
expect 'a server becomes ready' pod_reaches server condition=Ready
expect 'a client becomes ready' pod_reaches client condition=Ready
expect 'DNS knows kubernetes.default' prints "$KUBERNETES_SERVICE" in_client nslookup kubernetes.default.svc.cluster.local
expect 'DNS says at once that other names do not exist' prints NXDOMAIN in_client nslookup example.com
expect 'a Service leads to its pod' prints served in_client wget -q -O - http://server/index.html
expect 'nothing leads out of the machine' prints 'Network is unreachable' in_client timeout 5 wget -O - http://192.0.2.1/
expect 'the API server takes the token of a service account' api_with_token
expect 'logs are read' prints started "${smoke[@]}" logs server
expect 'a port is forwarded' forwarded_port
expect 'a pod with a native sidecar ends when its work is done' pod_reaches sidecar 'jsonpath={.status.phase}=Succeeded'
expect 'the sidecar was told to end' prints drained "${smoke[@]}" logs sidecar --container sidecar
expect 'too much memory ends in OOMKilled' \
  pod_reaches hungry 'jsonpath={.status.containerStatuses[0].state.terminated.reason}=OOMKilled'
expect 'a disruption budget holds up an eviction' prints 'disruption budget' evict_server
expect 'without the budget the eviction goes through' \
  evict_server_without_budget
expect 'Pod Security refuses a privileged pod' prints 'violates PodSecurity "restricted' privileged_pod
expect 'Helm sees the cluster' helm list --all-namespaces

"$here/down.sh" || exit 1
after=$(machine)
if [[ $before != "$after" ]]; then
  diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") >"$LOG/smoke" || true
  fail_with_log "$LOG/smoke" 'the machine is not as it was before (<) but has changed (>)'
fi
say 'ok: the machine is as it was before'
