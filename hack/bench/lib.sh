# shellcheck shell=bash
# What the benchmarks of the broker need before they start. Sourced, never run.
# shellcheck source=../lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# Sets BINARY, and has the other programs and enough files.
find_binary() {
  BINARY=${STOMPBROKER_BINARY:-}
  if [[ -z $BINARY ]]; then
    cargo build --locked --quiet --release -p stompbroker --bins --examples --manifest-path "$ROOT/Cargo.toml"
    BINARY=$CARGO_TARGET_DIR/release/stompbroker
  fi
  need python3 python3
  [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || install_packages rabbitmq-server
  ulimit -n "$(ulimit -Hn)"
}
