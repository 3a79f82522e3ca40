# shellcheck shell=bash
# etcd, kube-apiserver, kube-controller-manager and kube-scheduler as processes in the
# control plane's network namespace. They keep no state but etcd's folder, which goes
# with `down`, and so etcd does not wait for the disk.

start_in_cp() { # NAME COMMAND...
  local name=$1
  shift
  spawn cp "$name" nsenter --net="/run/netns/$(netns_of cp)" "$@"
}

# Flags that kube-apiserver has in a cluster and alone.
apiserver_flags() { # ETCD_URL
  printf '%s\n' \
    --etcd-servers="$1" \
    --client-ca-file="$PKI/ca.crt" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-issuer="https://kubernetes.default.svc.$CLUSTER_DOMAIN" \
    --service-account-key-file="$PKI/service-account.key" \
    --service-account-signing-key-file="$PKI/service-account.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
    --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" \
    --proxy-client-key-file="$PKI/front-proxy-client.key" \
    --audit-policy-file="$MANIFESTS/audit-policy.yaml" \
    --audit-log-path="$LOGS/audit.log" --audit-log-maxsize=200 --audit-log-maxbackup=1 \
    --allow-privileged=true \
    --profiling=false
}

start_etcd() { # SPAWN_FUNCTION URL PEER_URL PROGRAM; the function is told a name and the command
  "$1" etcd "$4" --name=default --data-dir="$STATE/etcd" --unsafe-no-fsync \
    --listen-client-urls="$2" --advertise-client-urls="$2" \
    --listen-peer-urls="$3" --initial-advertise-peer-urls="$3" \
    --initial-cluster="default=$3" --log-level=warn
}

start_control_plane() {
  local bin flags
  bin=$(module_dir kubernetes)
  start_etcd start_in_cp http://127.0.0.1:2379 http://127.0.0.1:2380 "$(module_dir etcd)/etcd"
  mapfile -t flags < <(apiserver_flags http://127.0.0.1:2379)
  # Aggregated APIs and webhooks are called at pod addresses: no kube-proxy rules here.
  start_in_cp kube-apiserver "$bin/kube-apiserver" "${flags[@]}" \
    --advertise-address="$CP_IP" --secure-port=6443 \
    --service-cluster-ip-range="$SERVICE_NET" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" \
    --kubelet-preferred-address-types=InternalIP \
    --enable-aggregator-routing=true
}

# Started when the API answers and its built-in roles are there, so that their logs begin
# without refusals. A lost node is noticed in 20 s instead of 50; the autoscaler looks every
# 5 s and does not wait five minutes before it believes a new pod's CPU.
start_controllers() {
  local bin
  bin=$(module_dir kubernetes)
  start_in_cp kube-controller-manager "$bin/kube-controller-manager" \
    --kubeconfig="$PKI/controller-manager.kubeconfig" \
    --authentication-kubeconfig="$PKI/controller-manager.kubeconfig" \
    --authorization-kubeconfig="$PKI/controller-manager.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true \
    --service-account-private-key-file="$PKI/service-account.key" --root-ca-file="$PKI/ca.crt" \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
    --allocate-node-cidrs=false --node-monitor-period=2s --node-monitor-grace-period=20s \
    --horizontal-pod-autoscaler-sync-period=5s \
    --horizontal-pod-autoscaler-cpu-initialization-period=30s \
    --horizontal-pod-autoscaler-initial-readiness-delay=10s
  start_in_cp kube-scheduler "$bin/kube-scheduler" \
    --kubeconfig="$PKI/scheduler.kubeconfig" \
    --authentication-kubeconfig="$PKI/scheduler.kubeconfig" \
    --authorization-kubeconfig="$PKI/scheduler.kubeconfig" \
    --bind-address=127.0.0.1 --leader-elect=false
}

# Does not hold the lock: a kubectl that waits must not outlive a killed `up` with it.
kube() {
  local fd=${LOCK_FD:-9}
  KUBECONFIG=$STATE/kubeconfig "$(module_dir kubernetes)/kubectl" "$@" {fd}>&-
}

wait_for_apiserver() {
  wait_for 180 "kube-apiserver" kube get --raw /readyz ||
    die "kube-apiserver did not become ready; its log: $LOGS/cp-kube-apiserver.log"
}
