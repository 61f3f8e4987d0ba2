#!/usr/bin/env bash
# Builds the programs of the images, static, and lays them out in dist/ as the Dockerfiles want them, with the root certificates.
# ARCH=arm64 builds for the other architecture, for which the linker gcc-aarch64-linux-gnu must be there.
set -euo pipefail
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../tests/cluster/cluster.env
. "$here/../tests/cluster/cluster.env"
# shellcheck source=../tests/cluster/say.sh
. "$here/../tests/cluster/say.sh"
# shellcheck source=../tests/cluster/debian.sh
. "$here/../tests/cluster/debian.sh"
# shellcheck source=images.env
. "$here/images.env"

programs=(petiole-worker petiole-runner petiole-operator)
certificates=/etc/ssl/certs/ca-certificates.crt

case $ARCH in
  amd64) target=x86_64-unknown-linux-gnu ;;
  arm64) target=aarch64-unknown-linux-gnu ;;
  *) fail "ARCH=$ARCH: write amd64 or arm64" ;;
esac
if [[ $ARCH == arm64 && $(uname -m) != aarch64 ]]; then
  command -v aarch64-linux-gnu-gcc >/dev/null || fail "ARCH=arm64 needs a linker here: apt-get install gcc-aarch64-linux-gnu"
  export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
fi
[[ -e $certificates ]] || install_debian_packages ca-certificates

say "building ${programs[*]} for $ARCH"
cd "$ROOT"
# A program without a dynamic loader runs in any image, in one from scratch as well. All programs are built together, as
# `make build` does, so that nothing is built twice.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
  cargo build --release --locked --target "$target" --bins --examples || fail 'cargo could not build them, see above'
mkdir -p "dist/linux-$ARCH"
for program in "${programs[@]}"; do
  install --mode=755 "${CARGO_TARGET_DIR:-target}/$target/release/$program" "dist/linux-$ARCH/"
done
install --mode=644 "$certificates" dist/ca-certificates.crt
say "dist/linux-$ARCH has ${programs[*]}"
