# shellcheck shell=bash
# The certificate authority, a certificate per program, and their kubeconfig files, below .cluster/pki.

API_NAMES="IP:$NODE_ADDRESS,IP:$KUBERNETES_SERVICE,IP:127.0.0.1,DNS:localhost"
API_NAMES+=",DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"

# Makes them all, unless they are there for the same names and addresses.
make_certificates() {
  local made_for="$API_NAMES $API_PORT $NODE"
  if [[ -e $PKI/made-for && $(<"$PKI/made-for") == "$made_for" ]]; then
    return
  fi
  rm -rf "$PKI"
  mkdir -m 700 "$PKI"
  (
    cd "$PKI"
    new_key ca
    openssl req -x509 -new -key ca.key -out ca.crt -days 3650 -subj /CN=petiole-cluster
    certificate apiserver /CN=kube-apiserver "$API_NAMES"
    certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
    certificate front-proxy /CN=front-proxy
    certificate kubelet "/O=system:nodes/CN=system:node:$NODE" "IP:$NODE_ADDRESS,DNS:$NODE"
    certificate controller-manager /CN=system:kube-controller-manager
    certificate scheduler /CN=system:kube-scheduler
    certificate proxy /CN=system:kube-proxy
    certificate admin /O=system:masters/CN=admin
    # Signs the tokens of service accounts.
    new_key service-account
    openssl pkey -in service-account.key -pubout -out service-account.pub
  ) 2>"$LOG/certificates" || fail_with_log "$LOG/certificates" "the certificates could not be made"
  local user
  for user in kubelet controller-manager scheduler proxy admin; do
    write_kubeconfig "$user" >"$PKI/$user.kubeconfig"
  done
  printf '%s\n' "$made_for" >"$PKI/made-for"
  say "made certificates"
}

new_key() {
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

# certificate NAME SUBJECT [ALTERNATIVE_NAMES]
certificate() {
  local extensions="extendedKeyUsage=clientAuth"
  [[ -z ${3:-} ]] || extensions="extendedKeyUsage=serverAuth,clientAuth"$'\n'"subjectAltName=$3"
  new_key "$1"
  openssl req -new -key "$1.key" -subj "$2" \
    | openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile <(printf '%s\n' "$extensions") -out "$1.crt"
}

# A kubeconfig for the bearer of certificate $1, with everything in the one file.
write_kubeconfig() {
  cat <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: petiole-local
    cluster:
      server: https://$NODE_ADDRESS:$API_PORT
      certificate-authority-data: $(base64 --wrap=0 "$PKI/ca.crt")
users:
  - name: petiole-local-$1
    user:
      client-certificate-data: $(base64 --wrap=0 "$PKI/$1.crt")
      client-key-data: $(base64 --wrap=0 "$PKI/$1.key")
contexts:
  - name: petiole-local
    context:
      cluster: petiole-local
      user: petiole-local-$1
current-context: petiole-local
YAML
}
