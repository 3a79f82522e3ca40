# shellcheck shell=bash
# Tools from package registries, pinned and kept in the cache. Sourced after common.sh.

CARGO_DENY_VERSION=0.20.2
CARGO_CYCLONEDX_VERSION=0.5.9

# Prints the path of a program, built at first use.
cargo_tool() { # CRATE VERSION
  local home=$CACHE/tools/$1-$2
  if [[ ! -x $home/bin/$1 ]]; then
    note "building $1 $2" >&2
    CARGO_TARGET_DIR=$CACHE/target-tools cargo install --quiet --locked --root "$home" --version "$2" "$1" >&2
  fi
  echo "$home/bin/$1"
}

cargo_deny() { cargo_tool cargo-deny "$CARGO_DENY_VERSION"; }
cargo_cyclonedx() { cargo_tool cargo-cyclonedx "$CARGO_CYCLONEDX_VERSION"; }
