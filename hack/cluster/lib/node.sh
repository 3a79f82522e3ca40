# shellcheck shell=bash
# One node: containerd, kubelet and kube-proxy in a network, mount and host name namespace
# of their own, held by an idle process. /run in there is the node's own, so sockets, pod
# namespaces and address leases vanish with the node as they would with a machine; images
# and volumes are in the node's folder and survive a power cycle. Invariant: no mount that
# a node makes is ever seen outside it.

CNI_BIN=/usr/lib/cni
PAUSE_IMAGE=stompbroker.local/pause:1

node_dir() { echo "$STATE/nodes/$1"; }
node_holder() { local pid; read -r pid _ <"$RUN/$1/holder"; echo "$pid"; }
in_node() { # NODE COMMAND...
  local node=$1
  shift
  nsenter -t "$(node_holder "$node")" --mount --uts --net "$@"
}
start_in_node() { # NODE NAME COMMAND...
  local node=$1 name=$2
  shift 2
  spawn "$node" "$name" nsenter -t "$(node_holder "$node")" --mount --uts --net "$@"
}

write_node_configs() { # NODE
  local NODE=$1 NODE_DIR NODE_IP NODE_PODS
  NODE_DIR=$(node_dir "$NODE") NODE_IP=$(node_ip "$NODE") NODE_PODS=$(node_pods "$NODE")
  mkdir -p "$NODE_DIR"/{cni,containerd,kubelet,pod-logs,volume-plugins,opt}
  render "$MANIFESTS/kubelet.yaml" >"$NODE_DIR/kubelet.yaml"
  render "$MANIFESTS/kube-proxy.yaml" >"$NODE_DIR/kube-proxy.yaml"
  render "$MANIFESTS/containerd.toml" >"$NODE_DIR/containerd.toml"
  render "$MANIFESTS/cni.conflist" >"$NODE_DIR/cni/pods.conflist"
  # What a pod with dnsPolicy Default gets: a server that refuses at once.
  printf 'nameserver %s\noptions timeout:1 attempts:1\n' "$CP_IP" >"$NODE_DIR/resolv.conf"
}

start_node_holder() { # NODE
  # The script is for the shell in the node; nothing of it is for this one.
  # shellcheck disable=SC2016
  spawn "$1" holder nsenter --net="/run/netns/$(netns_of "$1")" \
    unshare --mount --uts --propagation slave sh -c '
      set -e
      mount --make-rshared /
      mount -t tmpfs -o mode=755,size=256m tmpfs /run
      mount -t tmpfs -o mode=755,size=64m tmpfs "$2"
      mount -t tmpfs -o mode=755,size=64m tmpfs /var/log
      mkdir /run/lock
      echo "$1" >/proc/sys/kernel/hostname
      touch /run/node-holder-ready
      exec sleep infinity' _ "$1" "$CNI_CACHE"
  wait_for 30 "$1" in_node "$1" test -e /run/node-holder-ready ||
    die "the namespaces of $1 did not start; log: $LOGS/$1-holder.log"
}

# Up to containerd with the images that every pod needs.
start_node() { # NODE
  local node=$1
  make_node_cgroups "$node"
  make_node_network "$node"
  start_node_holder "$node"
  start_in_node "$node" containerd containerd --config "$(node_dir "$node")/containerd.toml"
  wait_for 60 containerd in_node "$node" ctr --connect-timeout 1s version ||
    die "containerd of $node did not start; log: $LOGS/$node-containerd.log"
}

start_kubelet() { # NODE
  local node=$1 dir bin
  dir=$(node_dir "$node") bin=$(module_dir kubernetes)
  start_in_node "$node" kubelet "$bin/kubelet" \
    --config="$dir/kubelet.yaml" --kubeconfig="$PKI/$node.kubeconfig" \
    --root-dir="$dir/kubelet" --cert-dir="$dir/kubelet/pki" \
    --hostname-override="$node" --node-ip="$(node_ip "$node")" \
    --node-labels="topology.kubernetes.io/region=$REGION,topology.kubernetes.io/zone=$(node_zone "$node")"
  start_in_node "$node" kube-proxy "$bin/kube-proxy" --config="$dir/kube-proxy.yaml"
}

# As if its power was cut: every process dies at once, then its network is gone.
stop_node() { # NODE
  kill_group "$1"
  remove_node_network "$1"
}
