#!/usr/bin/env bash
# Installs the STOMP clients that the broker's tests drive: the same ones as the demo's.
set -euo pipefail
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../../hack/demo/clients/setup"
