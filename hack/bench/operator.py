"""Measures a running operator through its API server and its own /metrics; started by operator.sh."""

import json
import re
import statistics
import sys
import time
import urllib.error
import urllib.request

API, OPERATOR = sys.argv[1:3]
SIZES = [int(size) for argument in sys.argv[3:] for size in argument.split()]
BROKERS = f"{API}/apis/stompbroker.dev/v1alpha1/namespaces/bench/stompbrokers"
# What a StompBroker without zones gets, in the order in which it is written.
CHILDREN = [
    ("api/v1", "serviceaccounts", ""),
    ("api/v1", "secrets", "-system"),
    ("api/v1", "secrets", "-client"),
    ("api/v1", "secrets", "-admin"),
    ("api/v1", "configmaps", ""),
    ("api/v1", "services", ""),
    ("apis/networking.k8s.io/v1", "networkpolicies", ""),
    ("apis/policy/v1", "poddisruptionbudgets", ""),
    ("apis/apps/v1", "deployments", ""),
]
REST_SECONDS = 60
PATIENCE_SECONDS = 900


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def create(name):
    broker = {"apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker", "metadata": {"name": name}, "spec": {}}
    request = urllib.request.Request(BROKERS, json.dumps(broker).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30):
        pass


def until(what, holds, pause):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain for {what}")
        time.sleep(pause)


def metric(text, pattern):
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(pattern, line))


def writes():
    text = get(f"{OPERATOR}/metrics")
    counter = r"stompbroker_operator_kube_requests_total\{method=\"(POST|PUT|PATCH|DELETE)\""
    lease = counter + r",resource=\"leases\""
    return metric(text, counter) - metric(text, lease), metric(text, lease)


def resident():
    return metric(get(f"{OPERATOR}/metrics"), r"process_resident_memory_bytes ") / 2**20


def settled(number):
    """Whether every broker has got its status, which is the last thing that its first pass writes."""
    text = get(f"{OPERATOR}/metrics")
    return metric(text, r"stompbroker_operator_reconciles_total\{result=\"success\"") >= number and (
        len(re.findall(r"^stompbroker_operator_broker_ready\{", text, re.M)) >= number
    )


def ready():
    try:
        return get(f"{OPERATOR}/readyz") is not None
    except (urllib.error.URLError, OSError):
        return False


def quick(name):
    """Seconds from the answer to the creation until the last child exists."""
    create(name)
    start = time.monotonic()
    for group, kind, suffix in reversed(CHILDREN):
        until(f"{kind} of {name}", lambda: get(f"{API}/{group}/namespaces/bench/{kind}/{name}{suffix}"), 0.005)
    return time.monotonic() - start


until("the operator", ready, 0.2)
print(f"{'StompBrokers':>12}  {'all created in':>14}  {'one more: children in':>21}  {'memory':>9}  {'writes/min at rest':>18}  {'lease/min':>9}")
made = 0
for size in SIZES:
    # The last ones of each size are measured one by one.
    single = min(5, size - made)
    start = time.monotonic()
    for number in range(made, size - single):
        create(f"b-{number}")
    until(f"{size - single} brokers", lambda: settled(size - single), 0.2)
    bulk = time.monotonic() - start if size - single > made else 0
    times = [quick(f"b-{number}") for number in range(size - single, size)]
    made = size
    until(f"{size} brokers", lambda: settled(size), 0.2)
    time.sleep(15)  # events and late watch answers
    before = writes()
    time.sleep(REST_SECONDS)
    after = writes()
    print(
        f"{size:>12}  {bulk:>12.1f} s  {statistics.median(times):>19.2f} s  {resident():>5.1f} MiB"
        f"  {after[0] - before[0]:>18.0f}  {after[1] - before[1]:>9.0f}",
        flush=True,
    )
