# shellcheck shell=bash
# The steps that the demo is told in. Sourced after common.sh and cluster.sh; works in the demo's namespace.
# shellcheck disable=SC2034,SC2154  # the demo's script reads and writes the variables

# What a wait may take on a small machine that builds something else, too.
PATIENCE=300
declare -A ports=()
forwards=()

# Calls of kubectl speak of the demo's namespace without naming it in every line that is shown.
use_kubectl() {
  if is_our_cluster; then PATH=$(dirname "$("$CLUSTER" bin kubectl)"):$PATH; fi
  command -v kubectl >/dev/null || PATH=$PATH:$(dirname "$("$CLUSTER" bin kubectl)")
  export KUBECONFIG PATH
  cd "$ROOT" || exit
  trap 'end_forwards' EXIT
}

kubectl() { command kubectl --namespace "${namespace:-$DEMO_NAMESPACE}" "$@"; }

# Shows a command as a user would type it, and runs it.
run() {
  printf '\033[2m    $ %s\033[0m\n' "${*/#kubectl/kubectl -n $DEMO_NAMESPACE}"
  "$@"
}

make_namespace() { # NAME
  kubectl apply --server-side -f - >/dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata:
  name: $1
  labels: {pod-security.kubernetes.io/enforce: restricted}
YAML
}

# A StompBroker reads Secrets of its own namespace only.
copy_upstream_logins() { # NAMESPACE
  local secret
  for secret in rabbitmq-system rabbitmq-client; do
    namespace=$UPSTREAM_NAMESPACE kubectl get secret "$secret" -o json |
      python3 -c 'import json, sys
secret = json.load(sys.stdin)
secret["metadata"] = {"name": secret["metadata"]["name"]}
json.dump(secret, sys.stdout)' | kubectl apply --server-side -f - >/dev/null
  done
}

zones_of_the_cluster() {
  kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.labels.topology\.kubernetes\.io/zone}{"\n"}{end}' |
    sort -u | grep . | head -3 | xargs
}

# The example with this cluster's zones; without any it has one pool.
relay_in_zones() { # "ZONE ZONE ZONE"
  local zone list=''
  for zone in $1; do list+="${list:+,}{\"name\":\"$zone\"}"; done
  kubectl patch --local -f examples/relay-rabbitmq-three-zones.yaml --type=merge -o yaml \
    -p "{\"spec\":{\"zones\":$([[ -n $list ]] && echo "[$list]" || echo null)}}"
}

# Waits for Ready of the newest generation, and for as many ready pods as are wanted, with a line for every change.
wait_ready() { # BROKER [PODS]
  local start=$SECONDS line last='' generation pods ready
  while :; do
    read -r generation pods ready line < <(kubectl get stompbroker "$1" -o jsonpath='{.metadata.generation}/{.status.observedGeneration} {.status.readyReplicas}/{.status.replicas} {.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].reason}: {.status.conditions[?(@.type=="Ready")].message}{"\n"}') || true
    if [[ "$ready $pods $line" != "$last" ]]; then
      last="$ready $pods $line"
      note "$(printf '%3d s  %s pods ready, Ready=%s %s' $((SECONDS - start)) "$pods" "$ready" "$line")"
    fi
    if [[ $ready == True && ${generation%/*} == "${generation#*/}" && (-z ${2:-} || $pods == "$2/$2") ]]; then return; fi
    if ((SECONDS - start > PATIENCE)); then
      kubectl describe stompbroker "$1" >&2
      kubectl get pods -o wide >&2
      die "$1 is not ready after $PATIENCE s"
    fi
    sleep 1
  done
}

# Waits until the operator has seen that a pod is gone; not for long, for a new one may be there already.
wait_dip() { # BROKER
  local deadline=$((SECONDS + 10))
  while ((SECONDS < deadline)) && [[ $(kubectl get stompbroker "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}') == True ]]; do
    sleep 0.2
  done
}

# Sets first_pod and last_pod to ready pods of the first and the last zone, or to two pods where there are no zones.
pods_in_different_zones() { # BROKER
  local found
  mapfile -t found < <(kubectl get pods -l "app.kubernetes.io/name=stompbroker,app.kubernetes.io/instance=$1" -o json |
    python3 -c 'import json, sys
def ready(pod):
    conditions = pod["status"].get("conditions", [])
    return "deletionTimestamp" not in pod["metadata"] and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
pods = [pod["metadata"] for pod in json.load(sys.stdin)["items"] if ready(pod)]
print(*(name for _, name in sorted((pod["labels"].get("stompbroker.dev/zone", ""), pod["name"]) for pod in pods)), sep="\n")')
  [[ -n ${found[*]} ]] || die "$1 has no ready pod"
  first_pod=${found[0]}
  last_pod=${found[-1]}
}

# Makes a pod's port reachable at ${ports[NAME]} of this machine, as on any cluster.
forward() { # NAME POD PORT
  local output line deadline=$((SECONDS + 30))
  output=$(mktemp)
  command kubectl --namespace "$DEMO_NAMESPACE" port-forward "pod/$2" ":$3" --address 127.0.0.1 >"$output" 2>&1 &
  forwards+=($!)
  while ! line=$(grep -m1 '^Forwarding from' "$output"); do
    if ((SECONDS > deadline)) || ! kill -0 "${forwards[-1]}" 2>/dev/null; then
      die "no port-forward to $2: $(<"$output")"
    fi
    sleep 0.2
  done
  rm -f "$output"
  line=${line#*127.0.0.1:}
  ports[$1]=${line%% *}
}

end_forwards() {
  ((${#forwards[@]} == 0)) || kill "${forwards[@]}" 2>/dev/null || true
}

# Reads the login that the operator generated for client connections, for the clients' environment.
login() { # BROKER
  STOMP_LOGIN=$(kubectl get secret "$1-client" -o jsonpath='{.data.username}' | base64 -d)
  STOMP_PASSCODE=$(kubectl get secret "$1-client" -o jsonpath='{.data.password}' | base64 -d)
  export STOMP_LOGIN STOMP_PASSCODE PYTHONPATH=$clients/python NODE_PACKAGES=$clients/node
}

# One message from the command `publisher` to the command `receiver`.
exchange() { # PUBLISHER-SAYS RECEIVER-SAYS TEXT
  local line got job
  exec {line}< <(exec "${receiver[@]}")
  job=$!
  if ! read -r -t 60 -u "$line" got || [[ $got != subscribed ]]; then die "$2: no subscription"; fi
  "${publisher[@]}" "$3"
  note "$1: $3"
  read -r -t 60 -u "$line" got || die "$2: nothing came"
  [[ $got == "$3" ]] || die "$2: $got instead of $3"
  note "$2: $got"
  exec {line}<&-
  wait "$job" || true
}
