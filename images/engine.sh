# shellcheck shell=bash
# One face for whatever builds images here: docker, podman or buildah. ENGINE=... picks one of them. Needs images.env.

SOURCE_LABEL=dev.petiole.source

# Sets ENGINE, and installs buildah where there is none.
pick_engine() {
  if [[ -z ${ENGINE:-} ]]; then
    # A docker client without a daemon behind it is of no use.
    if docker info >/dev/null 2>&1; then
      ENGINE=docker
    elif podman info >/dev/null 2>&1; then
      ENGINE=podman
    else
      ENGINE=buildah
    fi
  fi
  mkdir -p "$STATE"
  if [[ $ENGINE == buildah ]]; then
    install_debian_packages buildah
    STORAGE_DRIVER=${STORAGE_DRIVER:-$(storage_driver)}
  fi
}

# Prints how buildah keeps layers: as overlays, or as plain copies where it may not mount one.
storage_driver() {
  local probe driver=vfs
  probe=$(mktemp -d "$STATE/probe.XXXXXX")
  mkdir "$probe"/{lower,upper,work,merged}
  if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" "$probe/merged" 2>/dev/null; then
    umount "$probe/merged"
    driver=overlay
  fi
  rm -rf "$probe"
  printf '%s\n' "$driver"
}

# With a store of its own below .cluster. RUN is a chroot (see image_build), which works where no container may be started.
run_buildah() {
  local store=$STATE/buildah/$STORAGE_DRIVER
  mkdir -p "$store"
  # Otherwise it makes /etc/cni.
  printf '[network]\nnetwork_config_dir = "%s"\n' "$store/network" >"$store/containers.conf"
  CONTAINERS_CONF=$store/containers.conf \
    buildah --root "$store/root" --runroot "$store/run" --storage-driver "$STORAGE_DRIVER" "$@"
}

# image_build DOCKERFILE CONTEXT IMAGE [SOURCE]: image_source prints SOURCE later.
image_build() {
  local options=(--file "$1" --tag "$3" --platform "linux/$ARCH" --build-arg "TARGETARCH=$ARCH")
  [[ -z ${4:-} ]] || options+=(--label "$SOURCE_LABEL=$4")
  case $ENGINE in
    docker) docker build --quiet "${options[@]}" "$2" ;;
    podman) podman build --quiet "${options[@]}" "$2" ;;
    buildah)
      run_buildah build --quiet --isolation chroot "${options[@]}" "$2"
      # The image that had the name until now.
      run_buildah rmi --prune
      ;;
    *) fail "ENGINE=$ENGINE: write docker, podman or buildah" ;;
  esac >/dev/null
}

# Prints the identity of image $1, which changes with each build; nothing when there is no such image.
image_id() {
  case $ENGINE in
    docker | podman) "$ENGINE" image inspect --format '{{.Id}}' "$1" ;;
    buildah) run_buildah inspect --type image --format '{{.FromImageID}}' "$1" ;;
  esac 2>/dev/null || true
}

# Prints what image $1 was built from, where image_build was told.
image_source() {
  case $ENGINE in
    docker | podman) "$ENGINE" image inspect --format "{{index .Config.Labels \"$SOURCE_LABEL\"}}" "$1" ;;
    buildah) run_buildah inspect --type image --format "{{index .OCIv1.Config.Labels \"$SOURCE_LABEL\"}}" "$1" ;;
  esac 2>/dev/null || true
}

# image_save IMAGE FILE, as an archive that `ctr images import` and `kind load` read. Layers stay uncompressed: it is for this machine.
image_save() {
  rm -f "$2"
  case $ENGINE in
    docker | podman) "$ENGINE" save --output "$2" "$1" ;;
    buildah) run_buildah push --quiet "$1" "docker-archive:$2:$1" ;;
  esac
}

# image_push IMAGE, to the registry in its name, with the login that the engine keeps.
image_push() {
  case $ENGINE in
    docker | podman) "$ENGINE" push "$1" ;;
    buildah) run_buildah push "$1" "docker://$1" ;;
  esac
}
