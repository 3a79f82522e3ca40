# shellcheck shell=bash
# Names, folders and addresses. Everything that two clusters could share is derived here
# from the cluster's name or from its slice of 198.18.0.0/15 (a range that exists nowhere
# else), so that two clusters never meet. Sets globals, touches nothing but the lock file.

# Nothing else in this folder reads the clock or prints progress by itself.
say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

MANIFESTS=$HERE/manifests
CACHE=${STOMPBROKER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stompbroker}
REGION=eu-west-1
NODES=(node-a node-b node-c)
CLUSTER_DOMAIN=cluster.local
LOCK_FD=''

set_cluster() { # NAME
  [[ $1 =~ ^[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?$ ]] ||
    die "cluster name '$1': at most 20 of a-z, 0-9 and '-', not first or last"
  CLUSTER=$1
  STATE=$CACHE/clusters/$CLUSTER
  RUN=$STATE/run                # pid files
  LOGS=$STATE/logs
  PKI=$STATE/pki
  CGROUP=stompbroker-$CLUSTER   # in every cgroup hierarchy
  NETNS=stompbroker.$CLUSTER    # prefix; a name has no dot, so no cluster's is another's
  [[ ! -s $STATE/slice ]] || set_slice "$(<"$STATE/slice")"
}

# Sixteen slices of 8192 addresses; within one: .0.0/24 machines, .4.0/22 pods (a /24 for
# each node), .16.0/20 services.
set_slice() { # INDEX
  local two=198.$((18 + $1 / 8)) three=$((32 * ($1 % 8)))
  SLICE=$1
  HOST_LINK=stomp$1
  SLICE_NET=$two.$three.0/19
  MACHINE_NET=$two.$three
  CP_IP=$MACHINE_NET.1
  HOST_IP=$MACHINE_NET.2
  POD_NET=$two.$((three + 4)).0/22
  POD_PREFIX=$two.$((three + 4))
  SERVICE_NET=$two.$((three + 16)).0/20
  KUBERNETES_SERVICE_IP=$two.$((three + 16)).1
  DNS_IP=$two.$((three + 16)).10
  API_URL=https://$CP_IP:6443
}

node_number() { # NODE -> 1, 2, 3
  local n
  for n in "${!NODES[@]}"; do
    [[ ${NODES[n]} != "$1" ]] || { echo $((n + 1)); return; }
  done
  die "no node '$1'; there are ${NODES[*]}"
}
node_ip() { echo "$MACHINE_NET.1$(node_number "$1")"; }
node_pods() { local n; n=$(node_number "$1"); echo "${POD_PREFIX%.*}.$((${POD_PREFIX##*.} + n)).0/24"; }
node_zone() { echo "$REGION${1#node-}"; }

# What a person may call a zone or a node: eu-west-1a, node-a, a.
node_of() { # NAME -> node-a
  local node
  for node in "${NODES[@]}"; do
    case $1 in "$node" | "${node#node-}" | "$(node_zone "$node")") echo "$node"; return ;; esac
  done
  die "no zone or node '$1'; there are ${NODES[*]} in zones ${REGION}[abc]"
}

# One command at a time changes a cluster. The kernel drops the lock with the last
# process that holds it, so a killed command leaves no stale lock. The file stays: who
# removed it could let two in, the one that waits for the old file and the next to come.
lock_cluster() {
  [[ -z $LOCK_FD ]] || return 0
  mkdir -p "${STATE%/*}"
  exec {LOCK_FD}>"${STATE%/*}/.$CLUSTER.lock"
  flock -n "$LOCK_FD" && return
  say "waiting for another command on cluster $CLUSTER to end"
  flock -w 300 "$LOCK_FD" || die "another command has held cluster $CLUSTER for five minutes"
}

# Prints FILE with every @NAME@ replaced by the value of the shell variable NAME.
render() { # FILE
  local text name
  text=$(<"$1")
  for name in $(grep -o '@[A-Z][A-Z_]*@' "$1" | tr -d @ | sort -u); do
    [[ -n ${!name-} ]] || die "$1 wants $name, which is not set"
    text=${text//"@$name@"/"${!name}"}
  done
  printf '%s\n' "$text"
}
