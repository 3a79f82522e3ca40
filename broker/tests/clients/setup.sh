#!/usr/bin/env bash
# Installs the STOMP clients that the broker's tests drive, pinned, into the cache folder; does nothing when they are there.
set -euo pipefail

STOMP_PY=9.0.0
STOMPJS=7.5.0
WS=8.23.0

for tool in python3 node npm; do
  command -v "$tool" >/dev/null || { echo "$tool is missing; install it (Debian: apt-get install python3-pip nodejs npm)" >&2; exit 1; }
done

clients=${STOMPBROKER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stompbroker}/clients
versions="stomp.py $STOMP_PY, stompjs $STOMPJS, ws $WS"
if [[ -f $clients/versions && $(<"$clients/versions") == "$versions" ]]; then
  exit 0
fi
rm -rf "$clients"
mkdir -p "$clients"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
  --target "$clients/python" "stomp.py==$STOMP_PY"
npm install --silent --no-audit --no-fund --prefix "$clients/node" "@stomp/stompjs@$STOMPJS" "ws@$WS"
echo "$versions" >"$clients/versions"
