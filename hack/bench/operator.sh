#!/usr/bin/env bash
# The operator alone on etcd and kube-apiserver, without nodes: how long until all children of a StompBroker exist, how much
# memory it has with 1, 100 and 1,000 of them, and what it writes in a minute at rest. Prints a table.
set -euo pipefail
HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=../lib/common.sh
. "$HERE/../lib/common.sh"

NAME=bench-$$
BINARY=${STOMPBROKER_OPERATOR_BINARY:-}
if [[ -z $BINARY ]]; then
  # The same build as the image's.
  target=$(rustc -vV | sed -n 's/^host: //p')
  CARGO_TARGET_DIR=$CACHE/target-release RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --locked --quiet --release --target "$target" -p stompbroker-operator \
    --manifest-path "$ROOT/Cargo.toml"
  BINARY=$CACHE/target-release/$target/release/stompbroker-operator
fi

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

"$CLUSTER" --name "$NAME" apiserver up >/dev/null
KUBECONFIG=$("$CLUSTER" --name "$NAME" apiserver kubeconfig)
export KUBECONFIG
kubectl=${KUBEBUILDER_ASSETS:+$KUBEBUILDER_ASSETS/kubectl}
kubectl=${kubectl:-$("$CLUSTER" bin kubectl)}
"$BINARY" crd | "$kubectl" apply --server-side -f - >/dev/null
for ((tries = 0; tries < 300; tries++)); do
  "$kubectl" get stompbrokers >/dev/null 2>&1 && break
  sleep 0.2
done
"$kubectl" create namespace bench >/dev/null

# No port is fixed: the proxy says which one it got, and the operator is given one that was free a moment ago.
"$kubectl" proxy --port=0 >"$work/proxy" 2>&1 &
pids+=($!)
until grep -q 'Starting to serve' "$work/proxy"; do sleep 0.1; done
api=http://$(sed -n 's/^Starting to serve on //p' "$work/proxy")
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$BINARY" run --namespace default --broker-image registry.test/stompbroker:1 --http-address "127.0.0.1:$port" \
  >"$work/operator.log" 2>&1 &
pids+=($!)

python3 "$HERE/operator.py" "$api" "http://127.0.0.1:$port" "${@:-1 100 1000}" || {
  status=$?
  tail -20 "$work/operator.log" >&2
  exit "$status"
}
