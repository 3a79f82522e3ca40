"""Measures the operator from outside, by the API server's audit log and by /proc; started by operator.sh."""

import argparse
import collections
import concurrent.futures
import datetime
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

ACCOUNT = "system:serviceaccount:stompbroker-system:stompbroker-operator"
WRITES = {"create", "update", "patch", "delete"}
PATIENCE = 1800
# What RabbitMQ's operator needs for the same, as the project's goals quote it: one measurement on this kind of API server (its own
# user in the audit log, nodes cordoned), which nothing here repeats.
RABBITMQ = {"time": "213 s", "cpu": "40 ms", "writes": "20", "events": "10", "memory": "237 MB", "rest": "11,208 in 45 s", "restart": ""}
GOALS = {"time": "<= 20 s", "cpu": "<= 4 ms", "writes": "<= 15", "events": "<= 2", "memory": "<= 30 MB", "rest": "0", "restart": "measured"}

parser = argparse.ArgumentParser(prog="hack/bench/operator.sh", description="What the operator costs.")
parser.add_argument("--first", type=int, default=100, help="StompBrokers that are there before it is measured (100)")
parser.add_argument("--more", type=int, default=900, help="StompBrokers that are then applied (900)")
parser.add_argument("--secrets", type=int, default=10_000, help="Secrets of others (10000)")
parser.add_argument("--crashing", type=int, default=100, help="pods that crash in a loop at rest; all others are Pending (100)")
parser.add_argument("--settle", type=int, default=345, help="seconds after which Deployments whose pods do not start count as stuck, which is news (345)")
parser.add_argument("--rest", type=int, default=600, help="seconds at rest (600)")
for internal in ("--api", "--operator", "--kubeconfig", "--audit", "--log", "--servers"):
    parser.add_argument(internal, help=argparse.SUPPRESS)
options = parser.parse_args()

local = threading.local()


def call(method, path, body=None, kind="application/json"):
    """One request as the administrator; a connection for each thread. Gives status and JSON."""
    for attempt in (1, 2):
        connection = getattr(local, "connection", None)
        if connection is None:
            host, port = options.api.split(":")
            connection = local.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException):
            local.connection = None
            if attempt == 2:
                raise


def seconds_of(process):
    """Processor time of a process."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def servers():
    """Processor time of API server, etcd and the controllers, which no operator can do without."""
    return sum(map(seconds_of, options.servers.split(",")))


def must(method, path, body=None, kind="application/json"):
    status, answer = call(method, path, body, kind)
    if status >= 300:
        sys.exit(f"{method} {path}: {status} {answer}")
    return answer


def all_of(act, values, threads=8):
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        list(pool.map(act, values))


def until(what, holds, pause=0.5):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain for {what}")
        time.sleep(pause)


class Audit:
    """The operator's requests, as the API server has logged them."""

    def __init__(self):
        self.files = {}

    def new(self):
        """The requests since the last call."""
        found = []
        for entry in os.scandir(options.audit):
            if not re.fullmatch(r"audit.*\.log", entry.name):
                continue
            # By inode: a log that is full is renamed.
            inode = entry.inode()
            with open(entry.path, "rb") as file:
                file.seek(self.files.get(inode, 0))
                text = file.read()
            complete = text.rfind(b"\n") + 1
            self.files[inode] = self.files.get(inode, 0) + complete
            for line in text[:complete].splitlines():
                if ACCOUNT.encode() in line:
                    event = json.loads(line)
                    if event.get("impersonatedUser", {}).get("username") == ACCOUNT and "dryRun" not in event["requestURI"]:
                        found.append(event)
        return found


def resource(event):
    return event.get("objectRef", {}).get("resource", "")


def name(event):
    return "/".join(filter(None, (resource(event), event.get("objectRef", {}).get("subresource"))))


def written(events):
    """Requests that write: those about objects, events, and renewals of the lease."""
    writes = [event for event in events if event["verb"] in WRITES]
    kinds = {"leases": 0, "events": 0}
    for event in writes:
        if resource(event) in kinds:
            kinds[resource(event)] += 1
    return len(writes) - sum(kinds.values()), kinds["events"], kinds["leases"]


def when(event):
    return datetime.datetime.fromisoformat(event["stageTimestamp"]).timestamp()


class Operator:
    """The process."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = "127.0.0.1:%d" % free.getsockname()[1]
        self.log = open(options.log, "ab")
        arguments = ["run", "--namespace", "stompbroker-system", "--broker-image", "registry.test/stompbroker:1"]
        environment = dict(os.environ, KUBECONFIG=options.kubeconfig)
        command = [options.operator, *arguments, "--http-address", self.address]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        until("the operator", lambda: self.get("/readyz") is not None, 0.1)

    def get(self, path):
        if self.process.poll() is not None:
            sys.exit(f"the operator has ended with {self.process.returncode}")
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=30) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def passes(self):
        text = self.get("/metrics") or ""
        return sum(float(value) for value in re.findall(r"^stompbroker_operator_reconciles_total\{.*\} (\S+)$", text, re.M))

    def seconds(self):
        return seconds_of(self.process.pid)

    def resident(self):
        """Megabytes: all, of which its own, and the most there ever were."""
        with open(f"/proc/{self.process.pid}/status") as file:
            text = file.read()
        return [int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) * 1024 / 1e6 for name in ("VmRSS", "RssAnon", "VmHWM")]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


BROKERS = "/apis/stompbroker.dev/v1alpha1/namespaces/bench/stompbrokers"


def create(number):
    # The deadline is a part of that after which a Deployment counts as stuck; with the default that takes ten minutes.
    broker = {"apiVersion": "stompbroker.dev/v1alpha1", "kind": "StompBroker", "metadata": {"name": f"b-{number}"}}
    must("POST", BROKERS, broker | {"spec": {"drain": {"deadline": "10s"}}})


def foreign_secret(number):
    value = {"name": f"foreign-{number}"}
    must("POST", "/api/v1/namespaces/others/secrets", {"metadata": value, "stringData": {"password": "x" * 900}})


def pods():
    found, token = [], ""
    while True:
        page = must("GET", f"/api/v1/namespaces/bench/pods?limit=500&continue={token}")
        found += page["items"]
        token = page["metadata"].get("continue")
        if not token:
            return found


def told():
    """How many StompBrokers have a status."""
    count, token = 0, ""
    while True:
        page = must("GET", f"{BROKERS}?limit=500&continue={token}")
        count += sum("observedGeneration" in item.get("status", {}) for item in page["items"])
        token = page["metadata"].get("continue")
        if not token:
            return count


def quiet(audit, seconds, seen):
    """Waits until nothing was written for so long; adds what was before that to `seen`."""
    calm = time.monotonic()
    deadline = calm + PATIENCE
    while time.monotonic() - calm < seconds:
        new = audit.new()
        seen += new
        objects, events, _ = written(new)
        if objects or events:
            calm = time.monotonic()
        if time.monotonic() > deadline:
            sys.exit("the operator does not come to rest")
        time.sleep(1)


class Kubelet:
    """Plays the kubelet of a node on which pods crash in a loop: started, ended, waiting for longer and longer."""

    def __init__(self, pods):
        self.pods = [(pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in pods]
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        for name, _ in self.pods:
            target = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": "node-a"}}
            must("POST", f"/api/v1/namespaces/bench/pods/{name}/binding", target)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join()

    def say(self, pod, state, restarts):
        name, _ = pod
        last = {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": now(), "startedAt": now()}}
        container = {"name": "broker", "image": "i", "imageID": "", "ready": False, "started": False, "restartCount": restarts, "state": state}
        if restarts:
            container["lastState"] = last
        status = {"phase": "Running", "podIP": "127.0.9.9", "podIPs": [{"ip": "127.0.9.9"}], "containerStatuses": [container],
                  "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": self.since}]}
        must("PATCH", f"/api/v1/namespaces/bench/pods/{name}/status", {"status": status}, "application/merge-patch+json")

    def run(self):
        self.since = now()
        restarts, backoff = 0, 10
        while True:
            for pod in self.pods:
                self.say(pod, {"running": {"startedAt": now()}}, restarts)
            if self.stopping.wait(3):
                return
            for pod in self.pods:
                self.say(pod, {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": now()}}, restarts)
            for pod in self.pods:
                message = f"back-off {backoff}s restarting failed container=broker pod={pod[0]}_bench({pod[1]})"
                self.say(pod, {"waiting": {"reason": "CrashLoopBackOff", "message": message}}, restarts)
            # Upstream waits up to five minutes, in which nothing would happen.
            if self.stopping.wait(min(backoff, 40)):
                return
            restarts, backoff = restarts + 1, min(2 * backoff, 300)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


total = options.first + options.more
audit = Audit()
progress(f"{options.secrets} Secrets of others, {options.first} StompBrokers")
all_of(foreign_secret, range(options.secrets))
operator = Operator()
all_of(create, range(options.first))
until("the first ones", lambda: told() == options.first)
quiet(audit, 5, [])
audit.new()

progress(f"{options.more} more")
seconds, theirs, passes, start = operator.seconds(), servers(), operator.passes(), time.time()
all_of(create, range(options.first, total))
applied = time.time() - start
seen = []
until("all of them", lambda: told() == total, 1)
quiet(audit, 15, seen)
seen += audit.new()
cpu, theirs = operator.seconds() - seconds, servers() - theirs
each = collections.Counter(f"{event['verb']} {name(event)}" for event in seen)
progress("requests for each: " + ", ".join(f"{count / options.more:.1f} {what}" for what, count in each.most_common() if count >= options.more / 5))
progress(f"passes for each: {(operator.passes() - passes) / options.more:.1f}")
progress(f"processor time of API server, etcd and controllers for each: {theirs / options.more * 1000:.0f} ms, on {os.cpu_count()} cores")
objects, events, _ = written(seen)
# The last object that was made; Secrets are made by POST, all else by a PATCH that is answered with 201.
made = [event for event in seen if event["verb"] in WRITES and event.get("responseStatus", {}).get("code") == 201 and resource(event) != "events"]
last = max(map(when, made)) - start
until("all pods", lambda: len(pods()) == total)

progress("waiting until Deployments count as stuck")
time.sleep(max(0, last + options.settle - (time.time() - start)))
progress(f"{options.crashing} pods crash in a loop, {total - options.crashing} are Pending")
kubelet = Kubelet(pods()[: options.crashing])
kubelet.start()
quiet(audit, 30, [])
memory = operator.resident()
audit.new()
progress(f"{options.rest} s at rest")
time.sleep(options.rest)
rest_objects, rest_events, rest_lease = written(audit.new())
resting = operator.resident()

progress("a restart")
kubelet.stop()
quiet(audit, 5, [])
operator.stop()
start = time.monotonic()
operator = Operator()
until("a pass for each", lambda: operator.passes() >= total, 0.1)
restart = time.monotonic() - start
settled = []
quiet(audit, 5, settled)
restarted = operator.resident()

rows = [
    ("time", f"from applying {options.more} more to their last child", f"{last:.1f} s (applied within {applied:.1f} s)"),
    ("cpu", "processor time for each", f"{cpu / options.more * 1000:.1f} ms"),
    ("writes", "requests that write, for each", f"{objects / options.more:.1f}"),
    ("events", "events, for each", f"{events / options.more:.1f}"),
    ("memory", f"resident with {total} and {options.secrets} Secrets of others",
     f"{max(memory[0], resting[0]):.1f} MB ({resting[1]:.1f} its own, the rest its program; at most {resting[2]:.1f})"),
    ("rest", f"writes in {options.rest} s at rest, {options.crashing} pods crash-looping, the others Pending",
     f"{rest_objects + rest_events} (and {rest_lease} renewals of its lease)"),
    ("restart", "restart, to a pass for each", f"{restart:.1f} s, {written(settled)[0]} writes, {restarted[0]:.1f} MB"),
]
print("\n| the operator alone | goal | Stompbroker | RabbitMQ's (quoted, not measured here) |\n|---|---|---|---|")
for key, what, ours in rows:
    print(f"| {what} | {GOALS[key]} | {ours} | {RABBITMQ[key]} |")
operator.stop()
