# shellcheck shell=bash
# Builds upstream programs from the pinned Go modules in go/, one module after the other.
# A build is kept under a hash of all that decides its bytes (module files, source, flags),
# so it is made once and a changed pin never meets an old program. A folder in bin/ is
# complete or absent: it is filled elsewhere and renamed.

MODULES=(kubernetes etcd coredns metrics-server helm pause)
# Built when asked for: no part of a cluster.
OTHER_MODULES=(nats-server argocd source-controller kustomize-controller bundle-validate helm-docs nats-cli)
BUILD_FLAGS=(-trimpath -buildvcs=false)

# What to build in a module's folder.
module_package() {
  case $1 in
    argocd) echo github.com/argoproj/argo-cd/v3/cmd ;;
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    helm) echo helm.sh/helm/v3/cmd/helm ;;
    helm-docs) echo github.com/norwoodj/helm-docs/cmd/helm-docs ;;
    kustomize-controller | source-controller) echo "github.com/fluxcd/$1" ;;
    metrics-server) echo sigs.k8s.io/metrics-server/cmd/metrics-server ;;
    nats-cli) echo github.com/nats-io/natscli/nats ;;
    nats-server) echo github.com/nats-io/nats-server/v2 ;;
    *) echo . ;;
  esac
}

# The version that a program reports is set at link time; without it nodes say v0.0.0.
module_ldflags() {
  local version path flags='-s -w'
  if [[ $1 == kubernetes ]]; then
    version=$(awk '$1 == "k8s.io/kubernetes" {print $2; exit}' "$HERE/go/kubernetes/go.mod")
    local major minor
    IFS=. read -r major minor _ <<<"${version#v}"
    for path in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      flags+=" -X $path.gitVersion=$version -X $path.gitMajor=$major -X $path.gitMinor=$minor"
      flags+=" -X $path.gitTreeState=archive -X $path.gitCommit=unknown"
    done
  elif [[ $1 == helm ]]; then
    version=$(awk '$1 == "helm.sh/helm/v3" {print $2; exit}' "$HERE/go/helm/go.mod")
    flags+=" -X helm.sh/helm/v3/internal/version.version=$version"
  fi
  echo "$flags"
}

module_programs() { # the names under which a module's binary is called
  case $1 in
    kubernetes) echo kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl ;;
    *) echo "$1" ;;
  esac
}

module_dir() { # MODULE -> its folder in bin/
  local hash
  hash=$({ cat "$HERE/go/$1/"*.{mod,sum,go}; echo "${BUILD_FLAGS[@]}"; module_package "$1"; module_ldflags "$1"; } 2>/dev/null | sha256sum)
  echo "$CACHE/bin/$1-${hash:0:12}"
}

# Go in a module's folder, as it is pinned there. Go's own caches live with ours, unless the user has set them.
go_in() { # MODULE ARGS...
  local module=$1
  shift
  env -C "$HERE/go/$module" GOCACHE="${GOCACHE:-$CACHE/go/build}" GOMODCACHE="${GOMODCACHE:-$CACHE/go/mod}" \
    CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -modcacherw" GOWORK=off go "$@"
}

build_module() { # MODULE
  local module=$1 dir scratch started program lock
  dir=$(module_dir "$module")
  [[ ! -d $dir ]] || return 0
  need_go
  mkdir -p "$CACHE/bin"
  exec {lock}>"$CACHE/bin/.build.lock"
  flock -n "$lock" || { say "waiting for another build to end"; flock "$lock"; }
  if [[ ! -d $dir ]]; then
    started=$SECONDS
    say "building $module (kept in $dir)"
    scratch=$(mktemp -d "$CACHE/bin/.$module.XXXXXX")
    (
      exec {lock}>&- # an orphaned compiler must not hold up the next build
      go_in "$module" build "${BUILD_FLAGS[@]}" -ldflags "$(module_ldflags "$module")" \
        -o "$scratch/$module" "$(module_package "$module")" >"$scratch/build.log" 2>&1
    ) || { cat "$scratch/build.log" >&2; rm -rf "$scratch"; die "building $module failed"; }
    for program in $(module_programs "$module"); do
      [[ $program == "$module" ]] || ln -s "$module" "$scratch/$program"
    done
    rm "$scratch/build.log"
    echo $((SECONDS - started)) >"$scratch/seconds"
    chmod 755 "$scratch"
    mv -T "$scratch" "$dir"
    say "built $module in $((SECONDS - started)) s, $(du -shL "$dir/$module" | cut -f1)"
  fi
  exec {lock}>&-
}

build_all() { # [MODULE...]
  local module
  for module in "${@:-${MODULES[@]}}"; do build_module "$module"; done
}

# What each build took when it was made, for `make bench`.
build_times() {
  local module dir
  for module in "${MODULES[@]}"; do
    dir=$(module_dir "$module")
    [[ ! -s $dir/seconds ]] || echo "$module $(<"$dir/seconds")"
  done
}

# Where the source of the program that a module builds is, for what else it brings, such as CRDs.
module_source() { # MODULE
  need_go
  go_in "$1" list -f '{{.Module.Dir}}' "$(module_package "$1")"
}

# Where a program is; builds its module when it is missing.
tool_path() { # PROGRAM
  local module program
  for module in "${MODULES[@]}" "${OTHER_MODULES[@]}"; do
    for program in $(module_programs "$module"); do
      [[ $program == "$1" ]] || continue
      build_module "$module"
      echo "$(module_dir "$module")/$program"
      return
    done
  done
  die "no program '$1'; there are: $(for module in "${MODULES[@]}" "${OTHER_MODULES[@]}"; do module_programs "$module"; done | xargs)"
}
