# shellcheck shell=bash
# Keys, certificates and kubeconfigs of one cluster, made anew by every `up` and gone with
# `down`. Nothing in here is worth keeping; all files are readable by their owner only.

make_ca() { # NAME
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
    -subj "/CN=$1" -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}

# A certificate for a client, or with names to serve under for a server as well.
make_cert() { # CA NAME COMMON_NAME [ORGANIZATION [DNS:…,IP:…]]
  local ca=$1 name=$2 subject=/CN=$3 extensions
  [[ -z ${4:-} ]] || subject=/O=$4$subject
  extensions=$'keyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth'
  [[ -z ${5:-} ]] || extensions+=$',serverAuth\nsubjectAltName='$5
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$subject" \
    -keyout "$PKI/$name.key" -out "$PKI/$name.csr" 2>/dev/null
  openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/$ca.crt" -CAkey "$PKI/$ca.key" -CAcreateserial \
    -days 3650 -extfile <(echo "$extensions") -out "$PKI/$name.crt" 2>/dev/null
  rm "$PKI/$name.csr"
}

make_kubeconfig() { # NAME URL FILE
  local name=$1
  (
    umask 077
    cat >"$3" <<EOT
apiVersion: v1
kind: Config
clusters:
- name: $CLUSTER
  cluster:
    server: $2
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $name
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$name.crt")
    client-key-data: $(base64 -w0 "$PKI/$name.key")
contexts:
- name: $CLUSTER
  context: {cluster: $CLUSTER, user: $name}
current-context: $CLUSTER
EOT
  )
}

# What kube-apiserver itself needs, alone or in a cluster.
make_apiserver_pki() { # DNS:…,IP:… under which it serves
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  (
    umask 077
    make_ca ca
    make_ca front-proxy-ca
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$PKI/service-account.key" 2>/dev/null
    make_cert ca apiserver kube-apiserver '' "$1"
    make_cert ca apiserver-kubelet-client kube-apiserver-kubelet-client system:masters
    make_cert front-proxy-ca front-proxy-client front-proxy-client
    make_cert ca admin kubernetes-admin system:masters
  )
}

make_cluster_pki() {
  local node
  make_apiserver_pki "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.$CLUSTER_DOMAIN,DNS:localhost,IP:127.0.0.1,IP:$CP_IP,IP:$KUBERNETES_SERVICE_IP"
  (
    umask 077
    make_cert ca controller-manager system:kube-controller-manager
    make_cert ca scheduler system:kube-scheduler
    make_cert ca proxy system:kube-proxy
    for node in "${NODES[@]}"; do
      make_cert ca "$node" "system:node:$node" system:nodes "DNS:$node,IP:$(node_ip "$node")"
    done
  )
  for node in controller-manager scheduler proxy "${NODES[@]}"; do
    make_kubeconfig "$node" "$API_URL" "$PKI/$node.kubeconfig"
  done
  make_kubeconfig admin "$API_URL" "$STATE/kubeconfig"
}
