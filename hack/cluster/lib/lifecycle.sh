# shellcheck shell=bash
# up, down and status. `up` is complete or not: the file `complete` is written last, and an
# `up` that finds processes missing or no such file takes the rest down first. `down` works
# from what the kernel knows (cgroups, namespaces), not from what an `up` managed to note.

CP_PARTS=(etcd kube-apiserver kube-controller-manager kube-scheduler)
NODE_PARTS=(holder containerd kubelet kube-proxy)

is_stopped() { [[ -e $STATE/nodes/$1/stopped ]]; } # NODE, by node-stop

# Prints what should run and does not; nothing when all does.
dead_parts() {
  local part node
  for part in "${CP_PARTS[@]}"; do alive "$RUN/cp/$part" || echo "$part"; done
  for node in "${NODES[@]}"; do
    is_stopped "$node" && continue
    for part in "${NODE_PARTS[@]}"; do alive "$RUN/$node/$part" || echo "$part of $node"; done
  done
}

is_running() { [[ -e $STATE/complete && -z $(dead_parts) ]]; }

need_running() {
  [[ $EUID == 0 || ${command:-} == kubectl ]] || die "root is needed"
  [[ -e $STATE/complete ]] || die "cluster $CLUSTER is not up; start it: $0 --name $CLUSTER up"
}

cluster_up() {
  local started=$SECONDS node
  need_machine
  need_own_name
  build_all "${MODULES[@]}"
  lock_cluster
  if is_running; then
    for node in "${NODES[@]}"; do
      if is_stopped "$node"; then power_on "$node"; fi
      if is_cut "$node"; then heal "$node"; fi
    done
    apply_addons
    wait_for_addons
    say "cluster $CLUSTER runs already"
    return
  fi
  if [[ -d $STATE || -n $(leftovers) ]]; then
    say "cleaning up what an earlier run of cluster $CLUSTER left"
    take_down
  fi
  say "starting cluster $CLUSTER"
  mkdir -p "$STATE" "$RUN" "$LOGS"
  prepare_machine
  make_control_plane_network
  make_cluster_pki
  start_control_plane
  for node in "${NODES[@]}"; do
    write_node_configs "$node"
    start_node "$node"
  done
  local archives=() image
  for image in "${SYSTEM_IMAGES[@]}"; do archives+=("$(image_archive "$image")"); done
  load_images "${archives[@]}"
  wait_for_apiserver
  start_controllers
  for node in "${NODES[@]}"; do start_kubelet "$node"; done
  wait_for 120 "the default namespace's service account" kube get serviceaccount default || die "kube-controller-manager does not work; its log: $LOGS/cp-kube-controller-manager.log"
  apply_addons
  wait_for 120 "the nodes" all_nodes_known ||
    die "the nodes did not register; dead: $(dead_parts | paste -sd, || true); logs in $LOGS"
  wait_for_addons
  touch "$STATE/complete"
  say "cluster $CLUSTER is up after $((SECONDS - started)) s; KUBECONFIG=$STATE/kubeconfig"
}

all_nodes_known() { [[ $(kube get nodes -o name | wc -l) == "${#NODES[@]}" ]]; }

# What is there of this cluster outside its folder.
leftovers() {
  local root
  ls -d /run/netns/"$NETNS".* 2>/dev/null || true
  for root in $(cgroup_roots); do
    [[ ! -d $root/$CGROUP ]] || echo "$root/$CGROUP"
  done
}

cluster_down() {
  [[ $EUID == 0 ]] || die "root is needed"
  need_own_name
  lock_cluster
  if [[ ! -d $STATE && -z $(leftovers) ]]; then
    say "cluster $CLUSTER is not there"
  else
    take_down
    say "cluster $CLUSTER is down"
  fi
}

take_down() {
  local mounts
  kill_cgroups "$(tracking_root)/$CGROUP"
  remove_network
  # Nodes mount in their own namespaces; this is for what is not foreseen.
  mounts=$(awk -v state="$STATE/" 'index($5, state) == 1 {print $5}' /proc/self/mountinfo | sort -r)
  # shellcheck disable=SC2086
  [[ -z $mounts ]] || umount -l $mounts
  wait_for 5 cgroups remove_cgroups "$CGROUP" || say "some cgroups are left: $(leftovers | xargs)"
  rm -rf --one-file-system "$STATE"
  restore_machine
}

cluster_status() {
  local node dead
  [[ -e $STATE/complete ]] || { echo "cluster $CLUSTER is not up"; exit 3; }
  dead=$(dead_parts)
  echo "cluster $CLUSTER: $(if [[ -n $dead ]]; then echo "not all runs"; else echo "everything runs"; fi)"
  [[ -z $dead ]] || printf '  dead: %s\n' "${dead//$'\n'/, }"
  echo "  kubeconfig  $STATE/kubeconfig"
  echo "  addresses   $SLICE_NET: API $API_URL, services $SERVICE_NET, pods $POD_NET"
  for node in "${NODES[@]}"; do
    printf '  %s %s  %s%s\n' "$node" "$(node_zone "$node")" "$(node_ip "$node")" \
      "$(if is_stopped "$node"; then echo '  stopped'; elif [[ $EUID == 0 ]] && is_cut "$node"; then echo '  cut off'; fi)"
  done
  kube get nodes -L topology.kubernetes.io/zone --request-timeout=5s 2>&1 | sed 's/^/  /' || true
  [[ -z $dead ]] || exit 3
}

cluster_kubeconfig() {
  [[ -s $STATE/kubeconfig ]] || die "cluster $CLUSTER is not up; start it: $0 --name $CLUSTER up"
  if [[ ${1:-} == --print ]]; then cat "$STATE/kubeconfig"; else echo "$STATE/kubeconfig"; fi
}
