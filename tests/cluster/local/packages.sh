# shellcheck shell=bash
# The Debian packages that the local cluster is made of, besides what build.sh builds.

install_cluster_packages() {
  install_debian_packages busybox-static containerd containernetworking-plugins etcd-server iproute2 iptables kmod openssl runc
}
