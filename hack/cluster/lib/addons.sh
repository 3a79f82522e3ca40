# shellcheck shell=bash
# What runs inside the cluster: cluster DNS in every zone, and metrics-server for CPU
# autoscaling and `kubectl top`. Applied on every `up`; the same objects again are no change.

apply_addons() {
  local file
  for file in coredns metrics-server; do
    render "$MANIFESTS/$file.yaml"
    echo ---
  done | kube apply --server-side --force-conflicts -f - >/dev/null
}

wait_for_addons() {
  kube wait --for=condition=Ready node --all --timeout=120s >/dev/null ||
    die "the nodes did not become ready; see: $0 logs DIR"
  kube -n kube-system rollout status deployment/coredns --timeout=180s >/dev/null ||
    die "the cluster's DNS did not start; see: $0 logs DIR"
}
