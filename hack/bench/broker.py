"""Runs `stompbroker bench` against the broker, the do-nothing peer and RabbitMQ, and prints one table.

usage: broker.py BINARY [--seconds N] [--only SERVER[,SERVER]]
"""

import argparse
import os

from servers import bench, machine, median, started

LOADS = [
    ("1 x 100, TCP", "tcp", "fan-out --subscribers 100"),
    ("1 x 1,000, TCP", "tcp", "fan-out --subscribers 1000"),
    ("1 x 100, WebSocket", "ws", "fan-out --subscribers 100"),
    ("50 queue pairs, client-individual", "tcp", "queues --pairs 50"),
    ("{sessions} sessions, 5,000 msg/s", "tcp", "sessions --sessions {sessions} --rate 5000"),
]
# Both ends of a session are files of this machine, in two processes; some are for other things.
SESSIONS = min(10_000, int(os.sysconf("SC_OPEN_MAX")) - 1_000)


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
    print(machine())
    print(f"{'load':<36} {'server':<16} {'received/s':>12} {'share':>7} {'us each':>8} {'CPU':>8} {'p99':>10}")
    with started() as servers:
        measured = []
        if "peer" in only:
            measured += [servers.start_peer(binary, transport) for transport in ("tcp", "websocket")]
        if "broker" in only:
            measured.append(servers.start_broker(arguments.broker or binary))
        if "rabbitmq" in only:
            measured += servers.start_rabbitmq()
        for title, transport, load in LOADS:
            title, load = (text.format(sessions=SESSIONS) for text in (title, load))
            ceiling = None
            for server in (server for server in measured if transport in server.urls):
                reports, problem = [], None
                for _ in range(arguments.rounds):
                    url = server.urls[transport]
                    report, problem = bench(binary, [url], server.pids, server.env, load, arguments.seconds)
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
            server = servers.start_broker(arguments.broker or binary, f"memory-{transport}")
            url = server.urls[transport]
            report, problem = bench(binary, [url], server.pids, server.env, f"memory --sessions {SESSIONS}", 1)
            title = f"memory of {SESSIONS} sessions, {transport}"
            figure = problem or f"{report['memory']['perSession']:,} octets a session"
            print(f"{title:<36} {server.name:<16} {figure}", flush=True)


if __name__ == "__main__":
    main()
