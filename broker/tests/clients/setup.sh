#!/usr/bin/env bash
# Installs the STOMP clients that the broker's tests drive, the same ones as the demo's, and the browser for those in pages.
set -euo pipefail
HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=../../../hack/lib/common.sh
. "$HERE/../../../hack/lib/common.sh"
need chromium chromium
exec "$HERE/../../../hack/demo/clients/setup"
