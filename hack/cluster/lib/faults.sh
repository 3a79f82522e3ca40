# shellcheck shell=bash
# Failures on purpose. A cut zone keeps running but neither hears nor is heard: its node's
# cable is out. A stopped node is dead: no process of it is left, its disk stays.

cut_off() { in_netns cp ip link set "$1" down; route_services; }
heal() { in_netns cp ip link set "$1" up; route_services; }

power_on() { # NODE
  rm -f "$STATE/nodes/$1/stopped"
  start_node "$1"
  start_kubelet "$1"
}

zone_cut() { # ZONE
  local node
  node=$(node_of "$1")
  lock_cluster
  is_stopped "$node" && die "$node is stopped"
  cut_off "$node"
  say "zone $(node_zone "$node") ($node) is cut off"
}

zone_heal() { # ZONE
  local node
  node=$(node_of "$1")
  lock_cluster
  is_stopped "$node" && die "$node is stopped; start it: $0 node-start $node"
  heal "$node"
  say "zone $(node_zone "$node") ($node) is back on the network"
}

node_power_off() { # NODE
  local node
  node=$(node_of "$1")
  lock_cluster
  touch "$STATE/nodes/$node/stopped"
  stop_node "$node"
  route_services
  say "$node is stopped"
}

node_power_on() { # NODE
  local node
  node=$(node_of "$1")
  lock_cluster
  is_stopped "$node" || { say "$node runs already"; return; }
  power_on "$node"
  say "$node is started; the API says so in some seconds: $0 kubectl wait --for=condition=Ready node/$node"
}
