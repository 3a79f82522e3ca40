"""Runs `stompbroker bench` against the broker, the do-nothing peer and RabbitMQ, and prints one table.

usage: broker.py BINARY [--seconds N] [--only SERVER[,SERVER]]
"""

import argparse
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

RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
LOADS = [
    ("1 x 100, TCP", "tcp", "fan-out --subscribers 100"),
    ("1 x 1,000, TCP", "tcp", "fan-out --subscribers 1000"),
    ("1 x 100, WebSocket", "ws", "fan-out --subscribers 100"),
    ("50 queue pairs, client-individual", "tcp", "queues --pairs 50"),
    ("{sessions} sessions, 5,000 msg/s", "tcp", "sessions --sessions {sessions} --rate 5000"),
]
# Both ends of a session are files of this machine, in two processes; some are for other things.
SESSIONS = min(10_000, int(os.sysconf("SC_OPEN_MAX")) - 1_000)


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


class Server:
    """One server process; `urls` by transport, `env` is what its clients log in with."""

    def __init__(self, name, process, urls, pid=None, env=None):
        self.name, self.process, self.urls, self.env = name, process, urls, env or {}
        self.pid = pid or process.pid

    def stop(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def spawn(arguments, folder, name, **more):
    log = open(folder / f"{name}.log", "wb")
    return subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True, **more)


def start_broker(binary, folder):
    tcp, websocket, admin = free_port(), free_port(), free_port()
    config = folder / "broker.yaml"
    config.write_text(
        f"listeners: {{stomp: {{port: {tcp}}}, websocket: {{port: {websocket}, path: /ws}}}}\n"
        f"admin: {{port: {admin}}}\nauthentication: {{anonymous: true}}\n"
        "limits: {connectionsPerPod: 100000}\ndrain: {deadline: 1s}\n"
    )
    process = spawn([binary, "run", "--config", config], folder, "broker", env={**os.environ, "RUST_LOG": "warn"})
    wait_for(websocket, process)
    urls = {"tcp": f"tcp://127.0.0.1:{tcp}", "ws": f"ws://127.0.0.1:{websocket}/ws"}
    return Server("Stompbroker", process, urls)


def start_peer(binary, folder, transport):
    port = free_port()
    arguments = [binary, "bench", "peer", "--listen", f"127.0.0.1:{port}", "--transport", transport]
    process = spawn(arguments, folder, f"peer-{transport}")
    wait_for(port, process)
    scheme = "tcp" if transport == "tcp" else "ws"
    return Server("do-nothing peer", process, {scheme: f"{scheme}://127.0.0.1:{port}"})


def start_rabbitmq(folder):
    home = folder / "rabbitmq"
    home.mkdir()
    tcp, websocket, distribution = free_port(), free_port(), free_port()
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp = none\nstomp.listeners.tcp.1 = 127.0.0.1:{tcp}\n"
        f"web_stomp.tcp.ip = 127.0.0.1\nweb_stomp.tcp.port = {websocket}\nlog.console.level = warning\n"
    )
    (home / "enabled_plugins").write_text("[rabbitmq_stomp,rabbitmq_web_stomp].\n")
    env = {
        **os.environ,
        "HOME": str(home),
        "RABBITMQ_NODENAME": f"bench{os.getpid()}@localhost",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "feature_flags"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    process = spawn([RABBITMQ], folder, "rabbitmq", env=env)
    wait_for(websocket, process)
    urls = {"tcp": f"tcp://127.0.0.1:{tcp}", "ws": f"ws://127.0.0.1:{websocket}/ws"}
    pid = int((home / "pid").read_text())
    login = {"STOMPBROKER_BENCH_LOGIN": "guest", "STOMPBROKER_BENCH_PASSCODE": "guest"}
    return Server("RabbitMQ", process, urls, pid, login)


def bench(binary, server, url, load, seconds):
    arguments = [binary, "bench", *load.split(), "--url", url, "--server-pid", str(server.pid), "--json"]
    arguments += ["--duration", f"{seconds}s", "--warm-up", "1s"]
    try:
        done = subprocess.run(
            arguments, env={**os.environ, **server.env}, capture_output=True, text=True, timeout=seconds + 60, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "gave no figures in time"
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1][:100] if done.stderr.strip() else "failed"
    return json.loads(done.stdout), None


def median(reports, *path):
    values = []
    for report in reports:
        for key in path:
            report = report.get(key) if report else None
        if report is not None:
            values.append(report)
    return statistics.median(values) if values else None


def row(load, server, reports, ceiling):
    rate = median(reports, "receivedPerSecond")
    cost = median(reports, "server", "microsecondsPerDelivery")
    share = f"{100 * rate / ceiling:.0f} %" if ceiling else ""
    if reports[0].get("latency"):
        share = ""
    p99 = median(reports, "latency", "p99")
    percent = median(reports, "server", "cpuPercent")
    lost = sum(report["lost"] for report in reports)
    print(
        f"{load:<36} {server:<16} {rate:>12,.0f} {share:>7} {cost:>8.2f} {percent:>6.0f} %"
        f" {f'{p99:.1f} ms' if p99 is not None else '':>10}{f'  {lost} lost' if lost else ''}",
        flush=True,
    )
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1, help="medians of so many runs")
    parser.add_argument("--broker", help="another binary to measure than the one that puts on the load")
    parser.add_argument("--only", default="peer,broker,rabbitmq")
    arguments = parser.parse_args()
    only, binary = arguments.only.split(","), arguments.binary
    print(f"{os.cpu_count()} cores, kernel {os.uname().release}, load {os.getloadavg()[0]:.1f}, 128-octet bodies")
    print(f"{'load':<36} {'server':<16} {'received/s':>12} {'share':>7} {'us each':>8} {'CPU':>8} {'p99':>10}")
    servers = []
    # Else it would end at once and leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            if "peer" in only:
                servers += [start_peer(binary, folder, transport) for transport in ("tcp", "websocket")]
            if "broker" in only:
                servers.append(start_broker(arguments.broker or binary, folder))
            if "rabbitmq" in only:
                servers.append(start_rabbitmq(folder))
            for title, transport, load in LOADS:
                title, load = (text.format(sessions=SESSIONS) for text in (title, load))
                ceiling = None
                for server in (server for server in servers if transport in server.urls):
                    reports, problem = [], None
                    for _ in range(arguments.rounds):
                        report, problem = bench(binary, server, server.urls[transport], load, arguments.seconds)
                        if problem:
                            break
                        reports.append(report)
                    if reports:
                        rate = row(title, server.name, reports, ceiling)
                        ceiling = ceiling or (rate if server.name == "do-nothing peer" else None)
                    if problem:
                        print(f"{title:<36} {server.name:<16} {problem}", flush=True)
            for transport in ("tcp", "ws") if "broker" in only else ():
                # A fresh one each time: what earlier sessions have left would hide what these cost.
                server = start_broker(arguments.broker or binary, folder)
                servers.append(server)
                report, problem = bench(binary, server, server.urls[transport], f"memory --sessions {SESSIONS}", 1)
                title = f"memory of {SESSIONS} sessions, {transport}"
                figure = problem or f"{report['memory']['perSession']:,} octets a session"
                print(f"{title:<36} {server.name:<16} {figure}", flush=True)
        finally:
            for server in servers:
                server.stop()


if __name__ == "__main__":
    main()
