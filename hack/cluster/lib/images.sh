# shellcheck shell=bash
# Container images without a registry: made from the built programs by ../oci-image, kept
# beside them, and imported into the containerd of every node. Every image is on every
# node, so a pod with imagePullPolicy IfNotPresent or Never starts anywhere.

SYSTEM_IMAGES=(pause coredns metrics-server)

# The image archive of a built program; made once.
image_archive() { # MODULE
  local dir
  dir=$(module_dir "$1")
  [[ -s $dir/image.tar ]] || "$HERE/oci-image" --name "stompbroker.local/$1:1" \
    --binary "$dir/$1" --output "$dir/image.tar" >/dev/null
  echo "$dir/image.tar"
}

import_image() { # NODE ARCHIVE
  local name
  in_node "$1" ctr -n k8s.io images import --snapshotter overlayfs - <"$2" >"$LOGS/$1-import.$BASHPID.log" 2>&1 || {
    cat "$LOGS/$1-import.$BASHPID.log" >&2
    return 1
  }
  rm "$LOGS/$1-import.$BASHPID.log"
}

load_images() { # ARCHIVE...
  local archive node job jobs=()
  for archive; do
    [[ -r $archive ]] || die "no image archive $archive"
    tar tf "$archive" 2>/dev/null | grep -xE '(\./)?(index|manifest)\.json' >/dev/null ||
      die "$archive is no OCI or docker image archive (index.json or manifest.json in a tar file)"
  done
  for node in "${NODES[@]}"; do
    alive "$RUN/$node/containerd" || { say "$node is off: not loaded there"; continue; }
    (for archive; do import_image "$node" "$archive"; done) &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || die "an image could not be loaded"; done
}
