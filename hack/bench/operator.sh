#!/usr/bin/env bash
# The operator on etcd, kube-apiserver and kube-controller-manager, without nodes: what 900 more StompBrokers cost, its memory with all
# of them and 10,000 Secrets of others, what it writes at rest while pods are Pending and crash-looping, and how long a restart takes.
# It is the chart's ServiceAccount with the chart's roles, so that the API server's audit log tells its requests from all others.
# Prints a table; some 15 minutes by default. Options: hack/bench/operator.sh --help
set -euo pipefail
HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=../lib/common.sh
. "$HERE/../lib/common.sh"

case ${1:-} in --help | -h) exec python3 "$HERE/operator.py" --help ;; esac
NAME=bench-$$
BINARY=${STOMPBROKER_OPERATOR_BINARY:-}
if [[ -z $BINARY ]]; then
  # The same build as the image's.
  target=$(rustc -vV | sed -n 's/^host: //p')
  CARGO_TARGET_DIR=$CACHE/target-release RUSTFLAGS="$STATIC" \
    cargo build --locked --quiet --release --target "$target" -p stompbroker-operator \
    --manifest-path "$ROOT/Cargo.toml"
  BINARY=$CACHE/target-release/$target/release/stompbroker-operator
fi
need python3 python3

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || continue
    wait "$pid" 2>/dev/null || true # its status is that of the signal
  done
  "$CLUSTER" --name "$NAME" apiserver down >/dev/null 2>&1
  rm -rf "$work"
}
trap finish EXIT

"$CLUSTER" --name "$NAME" apiserver up >/dev/null 2>&1
KUBECONFIG=$("$CLUSTER" --name "$NAME" apiserver kubeconfig)
export KUBECONFIG
kubectl=${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS/kubectl}
kubectl=${kubectl:-$("$CLUSTER" bin kubectl)}
"$BINARY" crd | "$kubectl" apply --server-side -f - >/dev/null
for ((tries = 0; tries < 300; tries++)); do
  "$kubectl" get stompbrokers >/dev/null 2>&1 && break
  sleep 0.2
done
for namespace in bench others stompbroker-system; do "$kubectl" create namespace "$namespace" >/dev/null; done
"$kubectl" apply -f - <"$ROOT/tests/golden/chart/default.yaml" >/dev/null
"$kubectl" -n stompbroker-system delete deployment stompbroker-operator >/dev/null

# Who makes ReplicaSets and pods of Deployments; nobody places the pods on nodes.
"$("$CLUSTER" bin kube-controller-manager)" --kubeconfig="$KUBECONFIG" --leader-elect=false --bind-address=127.0.0.1 --secure-port=0 \
  --controllers=deployment-controller,replicaset-controller,disruption-controller --kube-api-qps=500 --kube-api-burst=1000 \
  --concurrent-deployment-syncs=20 --concurrent-replicaset-syncs=20 >"$work/controllers.log" 2>&1 &
pids+=($!)
# No port is fixed: the proxy says which one it got, and the operator is given one that was free a moment ago.
"$kubectl" proxy --port=0 >"$work/proxy" 2>&1 &
pids+=($!)
until grep -q 'Starting to serve' "$work/proxy"; do sleep 0.1; done
api=$(sed -n 's/^Starting to serve on //p' "$work/proxy")

# Who works beside it: the controllers, and those of the API server that wrote down who they are.
servers=${pids[0]}
for server in etcd kube-apiserver; do
  read -r pid _ <"$(dirname "$KUBECONFIG")/run/standalone/$server"
  servers+=,$pid
done

# The operator as its ServiceAccount.
"$kubectl" config view --raw -o json | python3 -c '
import json, sys
config = json.load(sys.stdin)
for user in config["users"]:
    user["user"]["as"] = "system:serviceaccount:stompbroker-system:stompbroker-operator"
    user["user"]["as-groups"] = ["system:serviceaccounts", "system:serviceaccounts:stompbroker-system", "system:authenticated"]
json.dump(config, sys.stdout)' >"$work/operator.kubeconfig"
python3 "$HERE/operator.py" --api "$api" --operator "$BINARY" --kubeconfig "$work/operator.kubeconfig" \
  --audit "$(dirname "$KUBECONFIG")/logs" --servers "$servers" --log "$work/operator.log" "$@" || {
  status=$?
  tail -20 "$work/operator.log" >&2
  exit "$status"
}
