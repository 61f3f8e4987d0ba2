# shellcheck shell=bash
# The control group that all pods are in, so that it can be emptied and removed; for cgroup v1 and v2.

# The group's folder in each hierarchy: one with cgroup v2, one per controller with v1.
cgroup_folders() {
  local hierarchy
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    printf '%s\n' "/sys/fs/cgroup/$CGROUP"
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    # Links such as cpu -> cpu,cpuacct would name a hierarchy twice.
    [[ -L ${hierarchy%/} || ! -e $hierarchy/cgroup.procs ]] || printf '%s\n' "$hierarchy$CGROUP"
  done
}

make_cgroup() {
  local folder file
  while read -r folder; do
    mkdir -p "$folder"
    # A new cpuset of v1 has no processor and no memory, and takes no process until it has.
    for file in cpuset.cpus cpuset.mems; do
      if [[ -e $folder/cgroup.clone_children && -e $folder/$file && -z $(<"$folder/$file") ]]; then
        cat "$(dirname "$folder")/$file" >"$folder/$file"
      fi
    done
  done < <(cgroup_folders)
}

# Every process in the group and below it.
cgroup_processes() {
  cgroup_folders | while read -r folder; do
    [[ ! -e $folder ]] || find "$folder" -name cgroup.procs -exec cat {} +
  done | sort --unique
}

# Ends what still runs in the group, and removes it.
remove_cgroup() {
  local folder pid deadline=$((SECONDS + 10))
  while [[ -n $(cgroup_processes) ]]; do
    ((SECONDS < deadline)) || fail "these processes of pods do not end: $(cgroup_processes | paste -s -d ' ')"
    while read -r pid; do
      kill -9 "$pid" 2>/dev/null || true
    done < <(cgroup_processes)
    sleep 0.05
  done
  while read -r folder; do
    [[ ! -e $folder ]] || find "$folder" -depth -type d -exec rmdir {} +
  done < <(cgroup_folders)
}
