# shellcheck shell=bash
# The few things that all clusters share with the whole machine. The first cluster notes how
# they were, the last one to go puts them back; which one is the last is read off the network
# namespaces, so clusters with state in different folders count too.

# Set by every kubelet, but for the last: a cluster takes some thirty inotify instances of
# root's, and the kernel's default of 128 is not enough for four.
MACHINE_SYSCTLS=(vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes fs.inotify.max_user_instances)
INOTIFY_INSTANCES=1024

# CNI caches results in a folder with a fixed path. Every node mounts its own over it, which
# takes a folder to mount on, and removing that folder would take every node's mount away.
CNI_CACHE=/var/lib/cni

any_cluster() { compgen -G '/run/netns/stompbroker.*.cp' >/dev/null; }

prepare_machine() {
  if ! any_cluster; then
    sysctl "${MACHINE_SYSCTLS[@]}" >"$CACHE/machine"
    if [[ ! -d $CNI_CACHE ]]; then echo "# $CNI_CACHE was not there" >>"$CACHE/machine"; fi
  fi
  mkdir -p "$CNI_CACHE"
  if (($(sysctl -n fs.inotify.max_user_instances) < INOTIFY_INSTANCES)); then
    sysctl -qw "fs.inotify.max_user_instances=$INOTIFY_INSTANCES"
  fi
}

restore_machine() {
  if any_cluster || [[ ! -s $CACHE/machine ]]; then return 0; fi
  if grep -q "^# $CNI_CACHE" "$CACHE/machine"; then rm -rf --one-file-system "$CNI_CACHE"; fi
  sysctl -q -p "$CACHE/machine" || say "could not set back all of $CACHE/machine"
  rm -f "$CACHE/machine"
}
