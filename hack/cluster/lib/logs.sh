# shellcheck shell=bash
# Everything that explains a failure, copied into one folder. No step may stop the others:
# this runs when something is broken already. Secrets are listed, never copied.

collect_logs() { # DIR
  local dir=$1 node kind
  [[ -d $STATE ]] || die "cluster $CLUSTER is not there"
  mkdir -p "$dir"/{components,objects,nodes,pods}
  cp "$LOGS"/*.log "$dir/components/" 2>/dev/null || true
  cluster_status >"$dir/status.txt" 2>&1 & wait $! || true
  soft() { # FILE COMMAND...
    local file=$1
    shift
    timeout 60 "$@" >"$file" 2>&1 || true
  }
  export KUBECONFIG=$STATE/kubeconfig
  local kubectl
  kubectl=$(module_dir kubernetes)/kubectl
  if "$kubectl" get --raw /readyz --request-timeout=5s >/dev/null 2>&1; then
    soft "$dir/objects/events.txt" "$kubectl" get events -A --sort-by=.lastTimestamp -o wide
    soft "$dir/objects/all.txt" "$kubectl" get all,endpointslices,configmaps,secrets,pdb,hpa,networkpolicies,pvc,leases -A -o wide
    soft "$dir/objects/nodes.txt" "$kubectl" describe nodes
    soft "$dir/objects/pods.txt" "$kubectl" describe pods -A
    # Every kind that can be listed, custom ones included, Secrets and events excluded.
    for kind in $(timeout 20 "$kubectl" api-resources --verbs=list -o name 2>/dev/null |
      grep -vE '^(secrets|events|events\.events\.k8s\.io|.*\.metrics\.k8s\.io)$'); do
      soft "$dir/objects/$kind.yaml" "$kubectl" get "$kind" -A -o yaml
    done
    grep -lx 'items: \[\]' "$dir"/objects/*.yaml 2>/dev/null | xargs -r rm -f
  fi
  for node in "${NODES[@]}"; do
    # The kubelet's own files: they hold the logs of removed and restarted containers too.
    [[ ! -d $STATE/nodes/$node/pod-logs ]] || cp -r "$STATE/nodes/$node/pod-logs" "$dir/pods/$node" 2>/dev/null || true
    if [[ $EUID != 0 ]] || ! alive "$RUN/$node/holder"; then continue; fi
    soft "$dir/nodes/$node-containers.txt" in_node "$node" ctr -n k8s.io containers list
    soft "$dir/nodes/$node-tasks.txt" in_node "$node" ctr -n k8s.io tasks list
    soft "$dir/nodes/$node-images.txt" in_node "$node" ctr -n k8s.io images list
    soft "$dir/nodes/$node-network.txt" in_node "$node" sh -c 'ip address; ip route; iptables-save'
    soft "$dir/nodes/$node-mounts.txt" in_node "$node" cat /proc/self/mountinfo
  done
  # Of the machine's processes only the cluster's: other command lines are not ours to copy.
  # shellcheck disable=SC2016
  soft "$dir/machine.txt" sh -c 'date; uptime; free -m; df -h "$1"; ip -br address; ip route; ip netns
    ps -o pid,ppid,stat,rss,etime,args -p "$(find "$2" -name cgroup.procs -exec cat {} + | paste -sd,)"' \
    _ "$CACHE" "$(tracking_root)/$CGROUP"
  say "logs of cluster $CLUSTER are in $dir ($(du -sh "$dir" | cut -f1))"
}
