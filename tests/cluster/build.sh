#!/usr/bin/env bash
# Builds the cluster's programs from Go modules into .cluster/bin: `build.sh [kubernetes|helm|coredns]...`, by default all three.
# A part is built again only when its module files or this script have changed.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=cluster.env
. "$here/cluster.env"
# shellcheck source=say.sh
. "$here/say.sh"

check_go() {
  local version
  command -v go >/dev/null || fail "Go is not installed: install Go 1.24 or newer and put it on the PATH"
  version=$(go env GOVERSION)
  printf '%s\n' go1.24 "$version" | sort --version-sort --check=quiet \
    || fail "Go is $version but Kubernetes needs 1.24 or newer: install that and put it first on the PATH"
}

# The version of module $1 that the go.mod of the current folder asks for.
required() {
  go list -m -f '{{.Version}}' "$1"
}

# go_build VARIABLES PACKAGE...: static programs without debug information into $built.
go_build() {
  local variables=$1
  shift
  CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w $variables" -o "$built/" "$@"
}

build_kubernetes() {
  local version major minor package variables=''
  version=$(required k8s.io/kubernetes)
  IFS=. read -r major minor _ <<<"${version#v}"
  # Without these a node reports a template in place of its version.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    variables+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"
    variables+=" -X $package.gitTreeState=archive -X $package.gitCommit="
  done
  go_build "$variables" tool
}

build_helm() {
  local version minor package variables
  version=$(required helm.sh/helm/v3)
  variables="-X helm.sh/helm/v3/internal/version.version=$version"
  # The Kubernetes version that `helm template` and `helm lint` assume where they see no cluster.
  IFS=. read -r _ minor _ <<<"$(required k8s.io/client-go)"
  for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
    variables+=" -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
  done
  go_build "$variables" tool
}

build_coredns() {
  go_build '' .
}

# What part $1 is built from, as one hash.
fingerprint() {
  (cd "$here" && find build.sh "$1" -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -d ' ' -f 1
}

build() {
  local part=$1 expected=$2 stamp=$BIN/.$1 current began=$SECONDS
  current=$(fingerprint "$part")
  if [[ -e $stamp && $(<"$stamp") == "$current" ]]; then
    return
  fi
  check_go
  say "building $part: once, $expected on two cores"
  built=$(mktemp -d "$STATE/build.XXXXXX")
  cd "$here/$part"
  "build_$part"
  mv "$built"/* "$BIN/"
  rmdir "$built"
  printf '%s\n' "$current" >"$stamp"
  say "built $part in $((SECONDS - began)) s"
}

mkdir -p "$BIN"
trap 'rm -rf "${built:-}"' EXIT
[[ $# -gt 0 ]] || set -- kubernetes helm coredns
for part; do
  case $part in
    kubernetes) build kubernetes '4 to 5 minutes' ;;
    helm) build helm 'about a minute' ;;
    coredns) build coredns 'about a minute' ;;
    *) fail "no part is called '$part': write kubernetes, helm or coredns" ;;
  esac
done
