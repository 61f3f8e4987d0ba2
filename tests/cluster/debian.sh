# shellcheck shell=bash
# Installs Debian packages that are missing, without starting the services in them.

# install_debian_packages PACKAGE...
install_debian_packages() {
  local package missing=()
  command -v dpkg-query >/dev/null \
    || fail "this needs Debian or Ubuntu packages ($*); elsewhere use CLUSTER=kind or CLUSTER=context:NAME"
  for package; do
    [[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $EUID -eq 0 ]] || fail "not root: install these first: apt-get install ${missing[*]}"

  say "installing Debian packages: ${missing[*]}"
  mkdir -p "$LOG"
  (
    deny_service_starts
    trap allow_service_starts EXIT
    # Package lists that are old, or not there yet, are the usual reason for a failure.
    apt_install "${missing[@]}" || { apt-get update && apt_install "${missing[@]}"; }
  ) >"$LOG/apt" 2>&1 || fail_with_log "$LOG/apt" "these packages could not be installed: ${missing[*]}"
}

# Never at the price of another package, such as containerd.io of Docker's own.
apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-remove --no-install-recommends "$@"
}

# Debian asks this program whether a package may start its service; 101 is no. The cluster starts its own etcd and containerd.
deny_service_starts() {
  [[ ! -e /usr/sbin/policy-rc.d ]] || return 0
  printf '#!/bin/sh\n# made by %s\nexit 101\n' "${BASH_SOURCE[0]}" >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
}

allow_service_starts() {
  if grep --quiet --fixed-strings "made by ${BASH_SOURCE[0]}" /usr/sbin/policy-rc.d; then
    rm /usr/sbin/policy-rc.d
  fi
}
