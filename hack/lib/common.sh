# shellcheck shell=bash
# What the scripts of hack/ share: where things are, and how they speak. Sourced, never run.
# shellcheck disable=SC2034  # the variables are for those who source this

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# All caches are in one folder outside the checkout, so that a fresh checkout builds fast and `git clean` costs nothing.
CACHE=${STOMPBROKER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stompbroker}
# How programs without any library are built, as in the Dockerfile. Packed, relocations are a hundredth of what they are.
STATIC='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs'
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
CLUSTER=$ROOT/hack/cluster/cluster
# What the images are called; the chart's defaults are the same.
IMAGE_REPOSITORY=${STOMPBROKER_IMAGE_REPOSITORY:-ghcr.io/stompbroker}
OPERATOR_NAMESPACE=stompbroker-system
UPSTREAM_NAMESPACE=upstreams

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

# Runs a command and says how long it took.
timed() { # WHAT COMMAND...
  local what=$1 start=$SECONDS
  shift
  "$@" || return
  note "$what: $((SECONDS - start)) s"
}

# A Debian package for each missing program, installed where that is possible and named where it is not.
need() { # PROGRAM PACKAGE [PROGRAM PACKAGE]...
  local missing=()
  while (($# > 1)); do
    command -v "$1" >/dev/null || missing+=("$2")
    shift 2
  done
  ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

install_packages() { # PACKAGE...
  if [[ ${STOMPBROKER_NO_APT:-} == 1 ]] || ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    die "missing; install with: apt-get install --no-install-recommends $*"
  fi
  note "installing $*" >&2
  mkdir -p "$CACHE"
  {
    apt-get -qq update &&
      DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
  } >"$CACHE/apt.log" 2>&1 || die "apt-get could not install $*; see $CACHE/apt.log"
}

# Builds the Java of FOLDER, and of further files, with its libraries into the cache, unless it is there; prints where: `classes`
# and `lib/*`.
build_java() { # NAME FOLDER [FILE]...
  local sources folder scratch
  sources=$(find "$2/pom.xml" "$2/src" "${@:3}" -type f -print0 | sort -z | xargs -0 cat | sha256sum)
  folder=$CACHE/$1-${sources:0:12}
  if [[ ! -d $folder ]]; then
    need java default-jdk-headless javac default-jdk-headless mvn maven
    note "building the Java of $1" >&2
    mkdir -p "$CACHE"
    scratch=$(mktemp -d "$CACHE/.$1.XXXXXX")
    cp -r "$2/pom.xml" "$2/src" "$scratch/"
    (($# == 2)) || cp "${@:3}" "$scratch/src/main/java/"
    (cd "$scratch" && mvn --batch-mode --quiet --no-transfer-progress compile dependency:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory=target/lib >&2) || { rm -rf "$scratch"; return 1; }
    # In place at once, so that a folder that is there is complete; another one may have been as fast.
    mv -T "$scratch/target" "$folder" 2>/dev/null || [[ -d $folder/lib ]]
    rm -rf "$scratch"
  fi
  echo "$folder"
}
