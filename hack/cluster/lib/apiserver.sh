# shellcheck shell=bash
# etcd and kube-apiserver alone on the loopback, for integration tests: real API, no nodes.
# Needs no root, no namespace and no cgroup; its processes are known by pid and start time.
# Each has its own folder and its own free ports, so several run side by side.

apiserver_program() { # PROGRAM
  local dir=${KUBEBUILDER_ASSETS:-}
  if [[ -z $dir ]]; then
    tool_path "$1"
  elif [[ -x $dir/$1 ]]; then
    echo "$dir/$1"
  else
    die "KUBEBUILDER_ASSETS is $dir, which has no $1; unset it to build one"
  fi
}

start_alone() { local name=$1; shift; spawn standalone "$name" "$@"; }

free_ports() { # COUNT
  python3 -c 'import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))' "$1"
}

apiserver_up() {
  local etcd apiserver kubectl ports flags started=$SECONDS
  etcd=$(apiserver_program etcd)
  apiserver=$(apiserver_program kube-apiserver)
  kubectl=$(apiserver_program kubectl)
  lock_cluster
  if apiserver_runs; then say "apiserver $CLUSTER runs already"; return; fi
  apiserver_stop
  mkdir -p "$STATE" "$LOGS"
  chmod 700 "$STATE"
  make_apiserver_pki "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1"
  read -ra ports < <(free_ports 3)
  make_kubeconfig admin "https://127.0.0.1:${ports[2]}" "$STATE/kubeconfig"
  start_etcd start_alone "http://127.0.0.1:${ports[0]}" "http://127.0.0.1:${ports[1]}" "$etcd"
  mapfile -t flags < <(apiserver_flags "http://127.0.0.1:${ports[0]}")
  # No controller makes service accounts here, so pods must not need one.
  start_alone kube-apiserver "$apiserver" "${flags[@]}" \
    --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="${ports[2]}" \
    --service-cluster-ip-range=198.19.240.0/20 --authorization-mode=RBAC \
    --disable-admission-plugins=ServiceAccount --endpoint-reconciler-type=none
  KUBECONFIG=$STATE/kubeconfig wait_for 180 kube-apiserver "$kubectl" get --raw /readyz || {
    tail -20 "$LOGS/standalone-kube-apiserver.log" >&2
    die "kube-apiserver did not become ready; logs in $LOGS"
  }
  say "apiserver $CLUSTER is up after $((SECONDS - started)) s; KUBECONFIG=$STATE/kubeconfig"
}

apiserver_runs() {
  alive "$RUN/standalone/etcd" && alive "$RUN/standalone/kube-apiserver"
}

apiserver_stop() {
  stop_process "$RUN/standalone/kube-apiserver" 3
  stop_process "$RUN/standalone/etcd" 3
  rm -rf "$STATE"
}

apiserver_command() { # up|down|status|kubeconfig
  # Not the folder of a cluster with the same name.
  STATE=$CACHE/apiservers/$CLUSTER RUN=$CACHE/apiservers/$CLUSTER/run
  LOGS=$STATE/logs PKI=$STATE/pki
  case ${1:-} in
    up) apiserver_up ;;
    down) lock_cluster; apiserver_stop; say "apiserver $CLUSTER is down" ;;
    status)
      apiserver_runs || { echo "apiserver $CLUSTER is not up"; exit 3; }
      echo "apiserver $CLUSTER runs; kubeconfig $STATE/kubeconfig"
      ;;
    kubeconfig)
      shift
      [[ -s $STATE/kubeconfig ]] || die "apiserver $CLUSTER is not up; start it: $0 --name $CLUSTER apiserver up"
      cluster_kubeconfig "$@"
      ;;
    *) die "usage: cluster apiserver up|down|status|kubeconfig" ;;
  esac
}
