"""What the benchmarks start on this machine, always on loopback, and how they put load on it and read the figures."""

import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
GUEST = {"STOMPBROKER_BENCH_LOGIN": "guest", "STOMPBROKER_BENCH_PASSCODE": "guest"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def wait_for(port, process, seconds=90):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{process.args[0]} does not listen on {port} after {seconds} s")


def wait_until_ready(admin, seconds=60):
    deadline, problem = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=5).close()
            return
        except OSError as error:
            problem = error
            time.sleep(0.1)
    raise SystemExit(f"the broker is not ready after {seconds} s: {problem}")


class Server:
    """One server process; `urls` by transport, `env` is what its clients log in with."""

    def __init__(self, name, process, urls, pid=None, env=None):
        self.name, self.process, self.urls, self.env = name, process, urls, env or {}
        self.pids = [pid or process.pid]

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        except ProcessLookupError:
            self.process.wait()


class Servers:
    """All that a benchmark has started, in a folder of its own."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def spawn(self, arguments, name, **more):
        log = open(self.folder / f"{name}.log", "wb")
        return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True, **more)

    def add(self, *arguments, **more):
        self.running.append(Server(*arguments, **more))
        return self.running[-1]

    def stop(self):
        while self.running:
            self.running.pop().stop()

    def start_broker(self, binary, name="broker", title="Stompbroker", more=""):
        tcp, websocket, admin = free_port(), free_port(), free_port()
        config = self.folder / f"{name}.yaml"
        config.write_text(
            f"listeners: {{stomp: {{port: {tcp}}}, websocket: {{port: {websocket}, path: /ws}}}}\n"
            f"admin: {{port: {admin}}}\nauthentication: {{anonymous: true}}\n"
            f"limits: {{connectionsPerPod: 100000}}\ndrain: {{deadline: 1s}}\n{more}"
        )
        env = {**os.environ, "RUST_LOG": "warn"}
        process = self.spawn([binary, "run", "--config", config], name, env=env)
        urls = {"tcp": f"tcp://127.0.0.1:{tcp}", "ws": f"ws://127.0.0.1:{websocket}/ws"}
        server = self.add(title, process, urls)
        wait_for(websocket, process)
        wait_until_ready(admin)
        return server

    def start_peer(self, binary, transport):
        port = free_port()
        arguments = [binary, "bench", "peer", "--listen", f"127.0.0.1:{port}", "--transport", transport]
        process = self.spawn(arguments, f"peer-{transport}")
        scheme = "tcp" if transport == "tcp" else "ws"
        server = self.add("do-nothing peer", process, {scheme: f"{scheme}://127.0.0.1:{port}"})
        wait_for(port, process)
        return server

    def start_rabbitmq(self, nodes=1):
        """One node, or a cluster of several, all found through a port mapper of their own."""
        epmd = free_port()
        process = self.spawn(["epmd", "-port", str(epmd), "-address", "127.0.0.1"], "epmd")
        self.add("epmd", process, {})
        wait_for(epmd, process)
        names = [f"bench{node}-{os.getpid()}@localhost" for node in range(nodes)]
        home = self.folder / "rabbitmq"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(os.urandom(16).hex())
        cookie.chmod(0o400)
        # The first one is there before others look for it, so that there is one cluster.
        first = self.start_rabbitmq_node(home, epmd, names, 0)
        return [first, *(self.start_rabbitmq_node(home, epmd, names, node) for node in range(1, nodes))]

    def start_rabbitmq_node(self, home, epmd, names, node):
        tcp, websocket, distribution = free_port(), free_port(), free_port()
        own = home / str(node)
        own.mkdir()
        peers = "".join(f"cluster_formation.classic_config.nodes.{at} = {name}\n" for at, name in enumerate(names, 1))
        (own / "rabbitmq.conf").write_text(
            f"listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{tcp}\n"
            f"web_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = {websocket}\nlog.console.level = warning\n"
            + (f"cluster_formation.peer_discovery_backend = classic_config\n{peers}" if len(names) > 1 else "")
        )
        (own / "enabled_plugins").write_text("[rabbitmq_stomp,rabbitmq_web_stomp].\n")
        env = {
            **os.environ,
            "HOME": str(home),
            "RABBITMQ_NODENAME": names[node],
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(own / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(own / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(own / "data"),
            "RABBITMQ_LOG_BASE": str(own / "log"),
            "RABBITMQ_PID_FILE": str(own / "pid"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(own / "feature_flags"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
        }
        process = self.spawn([RABBITMQ], f"rabbitmq-{node}", env=env)
        urls = {"tcp": f"tcp://127.0.0.1:{tcp}", "ws": f"ws://127.0.0.1:{websocket}/ws"}
        server = self.add("RabbitMQ", process, urls, env=GUEST)
        wait_for(websocket, process, seconds=180)
        server.pids = [int((own / "pid").read_text())]
        return server

    def start_nats(self, program, nodes):
        """A cluster of NATS servers with JetStream; returns their URLs and themselves."""
        ports = [(free_port(), free_port()) for _ in range(nodes)]
        routes = ", ".join(f"nats-route://127.0.0.1:{route}" for _, route in ports)
        servers = []
        for node, (port, route) in enumerate(ports):
            config = self.folder / f"nats-{node}.conf"
            config.write_text(
                f'listen: "127.0.0.1:{port}"\nserver_name: n{node}\njetstream {{store_dir: "{self.folder}/nats-{node}"}}\n'
                f'cluster {{name: bench, listen: "127.0.0.1:{route}", routes: [{routes}]}}\n'
            )
            process = self.spawn([program, "-c", config], f"nats-{node}")
            servers.append(self.add("NATS", process, {}))
        for (port, _), server in zip(ports, servers):
            wait_for(port, server.process)
        return [f"nats://127.0.0.1:{port}" for port, _ in ports], servers


@contextmanager
def started():
    """Servers that end with the benchmark, however that ends."""
    # Else it would end at once and leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as name:
        servers = Servers(pathlib.Path(name))
        try:
            yield servers
        finally:
            servers.stop()


def bench(binary, urls, pids, env, load, seconds):
    """The figures of one run, or why there are none."""
    arguments = [binary, "bench", *load.split(), "--url", ",".join(urls), "--json"]
    arguments += ["--server-pid", ",".join(map(str, pids)), "--duration", f"{seconds}s", "--warm-up", "1s"]
    try:
        done = subprocess.run(
            arguments, env={**os.environ, **env}, capture_output=True, text=True, timeout=seconds + 60, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "gave no figures in time"
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1][:160] if done.stderr.strip() else "failed"
    return json.loads(done.stdout), None


def median(reports, *path):
    values = []
    for report in reports:
        for key in path:
            report = report.get(key) if report else None
        if report is not None:
            values.append(report)
    return statistics.median(values) if values else None


def machine():
    return f"{os.cpu_count()} cores, kernel {os.uname().release}, load {os.getloadavg()[0]:.1f}, 128-octet bodies"
