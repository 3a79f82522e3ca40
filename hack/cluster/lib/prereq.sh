# shellcheck shell=bash
# What a cluster needs of the machine: root, Linux, cgroups, kernel features, Debian
# packages, Go. Each thing that is missing gets one line with its remedy, all of them
# before anything is started. Debian packages are installed here when that is possible;
# their services are never started.

PACKAGES=(containerd runc containernetworking-plugins iptables conntrack ipset ethtool
  socat iproute2 openssl util-linux python3 procps)
# What each package is needed for, in the same order: a program that tells it is there.
PACKAGE_PROGRAMS=(containerd runc /usr/lib/cni/ptp iptables conntrack ipset ethtool
  socat ip openssl nsenter python3 sysctl)

missing_packages() {
  local n
  for n in "${!PACKAGES[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${PACKAGE_PROGRAMS[n]}" >/dev/null || echo "${PACKAGES[n]}"
  done
}

# Installs packages whose services must stay stopped, now (policy-rc.d) and after the
# next boot (disable); prints what it does.
install_packages() { # PACKAGE...
  local policy=/usr/sbin/policy-rc.d made_policy='' package result=0
  local options=(-y -q --no-install-recommends -o DPkg::Lock::Timeout=300)
  if [[ -n ${STOMPBROKER_NO_APT:-} || $EUID != 0 ]] || ! command -v apt-get >/dev/null; then
    die "Debian packages are missing; install them: apt-get install --no-install-recommends $*"
  fi
  say "installing Debian packages: $*"
  if [[ ! -e $policy ]]; then
    made_policy=1
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  mkdir -p "$CACHE"
  apt-get install "${options[@]}" "$@" >"$CACHE/apt.log" 2>&1 ||
    { apt-get update -q >>"$CACHE/apt.log" 2>&1 &&
      apt-get install "${options[@]}" "$@" >>"$CACHE/apt.log" 2>&1; } || result=$?
  [[ -z $made_policy ]] || rm -f "$policy"
  ((result == 0)) || die "apt-get failed, see $CACHE/apt.log"
  [[ -d /run/systemd/system ]] || return 0
  for package in containerd rabbitmq-server; do
    [[ " $* " != *" $package "* ]] || systemctl -q disable "$package" || true
  done
}

need_go() {
  local wanted have
  wanted=$(grep -h '^go ' "$HERE"/go/*/go.mod | awk '{print $2}' | sort -V | tail -1)
  command -v go >/dev/null || die "Go is missing; install Go $wanted or newer and put it on PATH"
  have=$(GOTOOLCHAIN=local go env GOVERSION)
  [[ $(printf '%s\n' "$wanted" "${have#go}" | sort -V | head -1) == "$wanted" ]] ||
    die "Go ${have#go} is too old; install Go $wanted or newer"
}

# Every check runs, so that one try tells all that is missing.
need_machine() {
  local problems=() probe
  [[ $(uname -s) == Linux ]] || die "this runs on Linux only; elsewhere use an existing cluster by KUBECONFIG"
  [[ $EUID == 0 ]] || die "root is needed (namespaces, mounts, cgroups): sudo $0 up; without root: $0 apiserver up"
  local packages
  mapfile -t packages < <(missing_packages)
  ((${#packages[@]} == 0)) || install_packages "${packages[@]}"

  [[ $(cgroup_version) != none ]] ||
    problems+=("cgroups are not mounted at /sys/fs/cgroup; mount them: apt-get install cgroupfs-mount && cgroupfs-mount")
  local controller
  for controller in cpu memory pids cpuset; do
    cgroup_has "$controller" || problems+=("the cgroup controller '$controller' is missing; boot a kernel with it (on v1: mount -t cgroup -o $controller)")
  done

  # Features are tried, not looked up: /proc/config.gz and lsmod do not know them all.
  mkdir -p "$CACHE"
  probe=$(mktemp -d "$CACHE/.probe.XXXXXX")
  mkdir "$probe"/{lower,upper,work,merged}
  if mount -t overlay overlay -o "lowerdir=$probe/lower,upperdir=$probe/upper,workdir=$probe/work" "$probe/merged" 2>/dev/null; then
    umount "$probe/merged"
  else
    problems+=("overlayfs does not work in $CACHE; load it (modprobe overlay) or set STOMPBROKER_CACHE to a folder on ext4 or xfs")
  fi
  rm -rf "$probe"
  local script='ip link add v0 type veth peer name v1 || exit 11
    ip link add b0 type bridge || exit 12
    iptables -t nat -A OUTPUT -p tcp -m comment --comment x -m conntrack --ctstate NEW -j MARK --set-mark 1 || exit 13
    iptables -t nat -A POSTROUTING -m statistic --mode random --probability 0.5 -j MASQUERADE || exit 13'
  local result=0
  PATH=$PATH:/usr/sbin:/sbin unshare --net sh -c "$script" >/dev/null 2>&1 || result=$?
  case $result in
    0) ;;
    11) problems+=("the kernel has no veth devices; load them: modprobe veth") ;;
    12) problems+=("the kernel has no bridges; load them: modprobe bridge") ;;
    13) problems+=("iptables lacks nat, conntrack, comment, mark or statistic; load them: modprobe -a nf_nat xt_conntrack xt_comment xt_mark xt_statistic xt_MASQUERADE") ;;
    *) problems+=("network namespaces do not work here (unshare --net fails); a container needs --privileged for this") ;;
  esac
  ((${#problems[@]} == 0)) || { printf 'cluster: %s\n' "${problems[@]}" >&2; exit 1; }
}
