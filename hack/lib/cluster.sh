# shellcheck shell=bash
# The cluster that a script works on: the user's by KUBECONFIG, else our own. Sourced after common.sh.
# shellcheck disable=SC2034  # the variables are for those who source this

CHART=$ROOT/charts/stompbroker-operator
RELEASE=stompbroker
DEMO_NAMESPACE=demo

# Whether KUBECONFIG leads to our own cluster. A user who names that one by hand means the same as by not naming it.
is_our_cluster() { [[ -z ${KUBECONFIG:-} || $KUBECONFIG == "$("$CLUSTER" kubeconfig 2>/dev/null)" ]]; }

# Sets KUBECONFIG and PATH so that kubectl works; starts our own cluster where it is the one to use and does not run.
use_cluster() {
  if is_our_cluster; then
    "$CLUSTER" up
    KUBECONFIG=$("$CLUSTER" kubeconfig)
    PATH=$(dirname "$("$CLUSTER" bin kubectl)"):$PATH
  else
    command -v kubectl >/dev/null || PATH=$PATH:$(dirname "$("$CLUSTER" bin kubectl)")
    kubectl version --request-timeout=10s >/dev/null 2>&1 ||
      die "the cluster of KUBECONFIG=$KUBECONFIG does not answer; unset KUBECONFIG to get a cluster on this machine"
  fi
  export KUBECONFIG PATH
}

# Helm with its files in our cache and none of the user's repositories or plugins.
helm() {
  local program
  program=$("$CLUSTER" bin helm)
  HELM_CACHE_HOME=$CACHE/helm HELM_CONFIG_HOME=$CACHE/helm HELM_DATA_HOME=$CACHE/helm "$program" "$@"
}
