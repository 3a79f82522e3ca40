# shellcheck shell=bash
# The cluster's network: a namespace for the control plane that holds a bridge, one for
# each node, and one veth pair to the host. All routing is static. Invariant: no packet
# leaves the machine - every namespace has an unreachable default route, and on the host
# the cluster's slice is unreachable but for what is routed to the cluster.

netns_of() { echo "$NETNS.$1"; } # GROUP
in_netns() { local group=$1; shift; nsenter --net="/run/netns/$(netns_of "$group")" "$@"; }
has_netns() { [[ -e /run/netns/$(netns_of "$1") ]]; }

make_netns() { # GROUP
  ip netns add "$(netns_of "$1")"
  in_netns "$1" sh -c '
    sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 2>/dev/null
    sysctl -qw net.ipv4.ip_forward=1
    ip link set lo up
    ip route add unreachable default metric 4000000'
}

# Takes the first free slice: creating the host's end of the link is the claim, and the
# kernel lets only one cluster have it, whatever folder its state is in. The link's alias
# says whose it is.
claim_slice() {
  local n
  for n in {0..15}; do
    ip link add "stomp$n" type veth peer name host netns "$(netns_of cp)" 2>/dev/null || continue
    ip link set dev "stomp$n" alias "$NETNS of $CACHE"
    echo "$n" >"$STATE/slice"
    set_slice "$n"
    return
  done
  die "sixteen clusters run on this machine already"
}

make_control_plane_network() {
  local node
  make_netns cp
  claim_slice
  in_netns cp sh -c "
    ip link add br0 type bridge
    ip link set host master br0
    ip link set host up
    ip address add $CP_IP/24 dev br0
    ip link set br0 up
    ip route add unreachable $SERVICE_NET"
  ip address add "$HOST_IP/24" dev "$HOST_LINK"
  ip link set "$HOST_LINK" up
  ip route replace unreachable "$SLICE_NET" metric 4000000
  for node in "${NODES[@]}"; do
    in_netns cp ip route add "$(node_pods "$node")" via "$(node_ip "$node")"
    ip route add "$(node_pods "$node")" via "$(node_ip "$node")"
  done
}

# Puts a namespace on the bridge.
attach_to_bridge() { # GROUP IP
  in_netns cp ip link add "$1" type veth peer name eth0 netns "$(netns_of "$1")"
  in_netns cp ip link set "$1" master br0 up
  in_netns "$1" sh -c "ip address add $2/24 dev eth0; ip link set eth0 up"
}

make_node_network() { # NODE
  local other
  make_netns "$1"
  attach_to_bridge "$1" "$(node_ip "$1")"
  for other in "${NODES[@]}"; do
    [[ $other == "$1" ]] || in_netns "$1" ip route add "$(node_pods "$other")" via "$(node_ip "$other")"
  done
  # Service addresses are translated by kube-proxy's rules before a packet is sent; the
  # route only makes a local socket get that far. What no rule knows ends at the control plane.
  in_netns "$1" ip route add "$SERVICE_NET" via "$CP_IP"
  route_services
}

# The host reaches service addresses through the rules of a node that is on the network.
route_services() {
  local node
  for node in "${NODES[@]}"; do
    if ! has_netns "$node" || is_cut "$node"; then continue; fi
    ip route replace "$SERVICE_NET" via "$(node_ip "$node")"
    return
  done
  ip route del "$SERVICE_NET" 2>/dev/null || true
}

is_cut() { # NODE
  ! in_netns cp ip -o link show dev "$1" up 2>/dev/null | grep -q .
}

remove_node_network() { # NODE; deleting one end of a veth pair deletes the other at once
  ! has_netns cp || in_netns cp ip link del "$1" 2>/dev/null || true
  ! has_netns "$1" || ip netns del "$(netns_of "$1")"
}

# A cluster of this name whose state is in another folder is not ours to touch.
need_own_name() {
  local owner
  owner=$(ip -o link show 2>/dev/null | sed -n "s|.*alias $NETNS of ||p")
  [[ -z $owner || $owner == "$CACHE" ]] ||
    die "a cluster named $CLUSTER is there with its state in $owner; use another --name"
}

# Works from what is there by name, so also after a half-made `up`.
remove_network() {
  local path link
  # The routes over a link go with it; the slice is in no file if the claim was cut short.
  for link in $(ip -o link show | awk -F': ' -v alias="alias $NETNS of " -v netns="link-netns $NETNS.cp" \
    '$2 ~ /^stomp[0-9]+@/ && (index($0, alias) || index($0 " ", netns " ") || index($0, netns "\\")) {sub(/@.*/, "", $2); print $2}'); do
    set_slice "${link#stomp}"
    ip link del "$link"
  done
  if [[ -n ${SLICE:-} && ! -e /sys/class/net/$HOST_LINK ]]; then
    ip route del unreachable "$SLICE_NET" metric 4000000 2>/dev/null || true
  fi
  for path in /run/netns/"$NETNS".*; do
    [[ ! -e $path ]] || ip netns del "${path##*/}"
  done
}
