# shellcheck shell=bash
# Tools from package registries, pinned and kept in the cache. Sourced after common.sh.

CARGO_DENY_VERSION=0.20.2

# Prints the path of cargo-deny, built at first use.
cargo_deny() {
  local home=$CACHE/tools/cargo-deny-$CARGO_DENY_VERSION
  if [[ ! -x $home/bin/cargo-deny ]]; then
    note "building cargo-deny $CARGO_DENY_VERSION" >&2
    CARGO_TARGET_DIR=$CACHE/target-tools cargo install --quiet --locked --root "$home" --version "$CARGO_DENY_VERSION" cargo-deny >&2
  fi
  echo "$home/bin/cargo-deny"
}
