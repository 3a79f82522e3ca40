# shellcheck shell=bash
# Starts and ends the cluster's processes. Each group (cp for the control plane, one for
# each node, one for each upstream) has a cgroup that its daemons and all that they start
# live in, so the kernel keeps the list of what is ours: ending a group can neither miss a
# process nor hit a foreign one, even after a crash that left no or stale pid files.

cgroup_version() {
  if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then echo 2
  elif [[ -d /sys/fs/cgroup/pids ]]; then echo 1
  else echo none; fi
}

cgroup_has() { # CONTROLLER
  if [[ $(cgroup_version) == 2 ]]; then
    [[ " $(</sys/fs/cgroup/cgroup.controllers) " == *" $1 "* ]]
  else
    [[ -d /sys/fs/cgroup/$1 ]]
  fi
}

# The roots of all hierarchies, and the one that tells which processes are ours.
cgroup_roots() {
  if [[ $(cgroup_version) == 2 ]]; then echo /sys/fs/cgroup
  else awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts; fi
}
tracking_root() { if [[ $(cgroup_version) == 2 ]]; then echo /sys/fs/cgroup; else echo /sys/fs/cgroup/pids; fi; }
daemons_of() { echo "$(tracking_root)/$CGROUP/daemons-$1"; }

# A node's pods get a cgroup below this one from the kubelet, in every hierarchy; it must
# exist before the kubelet starts, and a v1 cpuset must have its values copied down.
make_node_cgroups() { # NODE
  local root path value
  for root in $(cgroup_roots); do
    for path in "$root/$CGROUP" "$root/$CGROUP/$1"; do
      mkdir -p "$path"
      if [[ -f $path/cpuset.cpus && $(cgroup_version) == 1 ]]; then
        for value in cpuset.cpus cpuset.mems; do
          [[ -n $(<"$path/$value") ]] || cat "${path%/*}/$value" >"$path/$value"
        done
      elif [[ $(cgroup_version) == 2 ]]; then
        enable_controllers "${path%/*}"
      fi
    done
  done
}

enable_controllers() { # CGROUP_V2_FOLDER
  local controller
  for controller in $(<"$1/cgroup.controllers"); do
    echo "+$controller" >"$1/cgroup.subtree_control" 2>/dev/null || true
  done
}

start_time() { # PID -> in clock ticks since boot; with the pid it names one process for good
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  awk '{print $20}' <<<"$stat"
}

# Starts a daemon that outlives this command, in a cgroup of its group when there is one.
spawn() { # GROUP NAME COMMAND...
  local group=$1 name=$2 tracking='' pid
  shift 2
  mkdir -p "$RUN/$group" "$LOGS"
  if [[ $EUID == 0 && $group != standalone ]]; then
    tracking=$(daemons_of "$group")
    mkdir -p "$tracking"
  fi
  # A clean environment: what the caller has in its own is not the daemons' business. The
  # script is for the new shell, which moves into the cgroup and becomes the daemon.
  # shellcheck disable=SC2016
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$HOME" LANG=C.UTF-8 \
    setsid bash -c 'if [[ -n $1 ]]; then echo $$ >"$1/cgroup.procs"; fi; shift; cd / && umask 022 && exec "$@"' _ "$tracking" "$@" \
    </dev/null >>"$LOGS/$group-$name.log" 2>&1 {LOCK_FD}>&- &
  pid=$!
  echo "$pid $(start_time "$pid" || echo dead)" >"$RUN/$group/$name"
}

# Whether the process of a pid file is still that very process.
alive() { # PID_FILE
  local pid started
  read -r pid started 2>/dev/null <"$1" || return 1
  [[ $(start_time "$pid") == "$started" && $(awk '{print $3}' "/proc/$pid/stat") != Z ]] 2>/dev/null
}

# Asks one process to end, insists after some seconds.
stop_process() { # PID_FILE [SECONDS]
  local pid n
  if alive "$1"; then
    read -r pid _ <"$1"
    kill -TERM "$pid" 2>/dev/null || true
    for ((n = 0; n < ${2:-5} * 20; n++)); do
      alive "$1" || break
      sleep 0.05
    done
    if alive "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$1"
}

# Ends every process in cgroups, at once; returns when none is left.
kill_cgroups() { # FOLDER...
  local n pids
  for ((n = 0; n < 200; n++)); do
    pids=$({ find "$@" -name cgroup.procs -exec cat {} + 2>/dev/null || true; } | sort -u | grep -v '^0$') || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  die "processes do not end: $(xargs <<<"$pids")"
}

# Removes a group's processes and cgroups. Cgroups must not be left to a node's next life:
# its kubelet would look for containers in them for half a minute.
kill_group() { # GROUP
  kill_cgroups "$(daemons_of "$1")" "$(tracking_root)/$CGROUP/$1"
  rm -rf "${RUN:?}/$1"
  wait_for 5 cgroups remove_cgroups "$CGROUP/$1" "$CGROUP/daemons-$1" || say "some cgroups of $1 are left"
}

# Removes cgroups without processes, the deepest first, from every hierarchy. Fails while the
# kernel still counts a process that has just ended.
remove_cgroups() { # NAME BELOW THE ROOTS...
  local root name result=0
  for root in $(cgroup_roots); do
    for name; do
      [[ -d $root/$name ]] || continue
      find "$root/$name" -depth -type d -exec rmdir {} + 2>/dev/null || result=1
    done
  done
  return $result
}

# Repeats a check until it holds.
wait_for() { # SECONDS WHAT COMMAND...
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || return 1
    sleep 0.2
  done
}
