#!/usr/bin/env bash
# The demo, on the cluster in use: installs Petiole with Helm, applies an example, and has a Celery client send photographs
# and take their thumbnails. PHOTOGRAPHS=FOLDER: your own. On a CLUSTER=context:NAME, REGISTRY says where its nodes pull from.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../cluster/cluster.env
. "$here/../cluster/cluster.env"
# shellcheck source=../cluster/say.sh
. "$here/../cluster/say.sh"
# shellcheck source=../cluster/in-use.sh
. "$here/../cluster/in-use.sh"
# shellcheck source=../../images/images.env
. "$ROOT/images/images.env"
# shellcheck source=demo.env
. "$here/demo.env"

bring_images() {
  [[ -d $ROOT/dist/linux-$ARCH ]] || fail "there are no programs in dist/linux-$ARCH: run images/binaries.sh first"
  TAG=$(tag_of_programs)
  export TAG REGISTRY
  "$ROOT/images/bring.sh" || exit 1
  "$here/images.sh" || exit 1
}

# Petiole's own containers meet Pod Security "restricted". The task's runs as the user of its image, which "restricted"
# takes only from a pod that says so: here it would need a pod template in place of the example's one line.
make_namespace() {
  kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata:
  name: $NAMESPACE
  labels:
    pod-security.kubernetes.io/enforce: baseline
YAML
}

# release NAME CHART VALUES...
release() {
  local name=$1 chart=$2
  shift 2
  say "helm upgrade --install $name charts/$chart"
  helm upgrade "$name" "$ROOT/charts/$chart" --install --namespace "$NAMESPACE" --wait --timeout 3m "$@" >"$LOG/helm" 2>&1 || {
    kubectl --namespace "$NAMESPACE" get pods,events >>"$LOG/helm" 2>&1 || true
    fail_with_log "$LOG/helm" "the chart $chart could not be installed"
  }
}

install_petiole() {
  local definitions=()
  # Other releases, of tests for example, leave their definitions behind. In a cluster of yours they are not touched.
  [[ $(in_use) == context:* ]] || definitions=(--take-ownership)
  make_namespace
  release "$RELEASE-crds" petiole-crds "${definitions[@]}"
  release "$RELEASE" petiole \
    --set-string "image.repository=$REGISTRY/petiole-operator,image.tag=$TAG" \
    --set-string "worker.image.repository=$REGISTRY/petiole-worker,worker.image.tag=$TAG" \
    --set redis.enabled=true \
    --set-string "redis.image.repository=${REDIS_IMAGE%:*},redis.image.tag=${REDIS_IMAGE##*:}"
}

apply_example() {
  local example=manifests/examples/workerpool.yaml
  say "kubectl apply --filename $example"
  # An image is "localhost/..." where it was loaded into the cluster's nodes.
  sed "s|image: localhost/|image: $REGISTRY/|" "$ROOT/$example" | kubectl --namespace "$NAMESPACE" apply --filename -
  kubectl --namespace "$NAMESPACE" wait --for=condition=Ready --timeout=3m workerpool/thumbnails >"$LOG/workerpool" 2>&1 || {
    kubectl --namespace "$NAMESPACE" describe pods,taskqueues,workerpools >>"$LOG/workerpool" 2>&1 || true
    fail_with_log "$LOG/workerpool" 'the WorkerPool thumbnails does not become ready'
  }
  say 'the WorkerPool thumbnails is ready'
  kubectl --namespace "$NAMESPACE" get taskqueues,workerpools,pods
}

[[ -n $(in_use) ]] || fail 'no cluster is in use: run tests/cluster/up.sh (make cluster-up) first'
mkdir -p "$DEMO" "$LOG"
"$here/../python.sh" || exit 1
photographs=${PHOTOGRAPHS:-$DEMO/photographs}
[[ -n ${PHOTOGRAPHS:-} ]] || "$here/photographs.sh" || exit 1
bring_images
install_petiole
apply_example

say 'a Celery client sends work'
"$ROOT/.venv/celery/bin/python" "$here/client.py" --namespace "$NAMESPACE" --photographs "$photographs" --thumbnails "$DEMO/thumbnails" \
  || fail "not every thumbnail was made: kubectl --namespace $NAMESPACE logs --selector petiole.dev/pool=thumbnails --all-containers"
say "done: the thumbnails are in ${DEMO#"$PWD"/}/thumbnails"
cat <<TEXT

What to try next:
  export KUBECONFIG=$KUBECONFIG PATH=$BIN:\$PATH
  kubectl config set-context --current --namespace $NAMESPACE
  kubectl explain workerpool.spec                     every field has a description
  kubectl scale workerpool thumbnails --replicas 4    or change manifests/examples/workerpool.yaml, and apply it
  kubectl describe workerpool thumbnails              conditions and events
  kubectl logs --selector petiole.dev/pool=thumbnails --container task
  tests/demo/run.sh                                   again; PHOTOGRAPHS=FOLDER for pictures of your own
TEXT
