"""The same work through three pods of each engine with several pods and through RabbitMQ's own three-node cluster.

All servers run on this machine, on loopback. Sessions go to one node after the other, and the producer and the consumer of a
queue to different ones, so that most messages pass from node to node.

usage: engines.py BINARY NATS-SERVER [--rounds N] [--seconds N] [--only SUBJECT[,SUBJECT]] [--markdown]
"""

import argparse

from servers import GUEST, bench, machine, median, started

NODES = 3
JETSTREAM, RELAY, RABBITMQ = "jetstream", "relay", "rabbitmq"
TITLES = {
    JETSTREAM: "3 pods, jetStream",
    RELAY: "3 pods, relay",
    RABBITMQ: "RabbitMQ's own STOMP",
}
# Copies of each message of a queue that must be stored before its receipt; topics have none. `{}` is for what asks for them.
LOADS = [
    ("1 publisher x 99 subscribers", 1, "fan-out --subscribers 99"),
    ("30 publishers x 30 subscribers", 1, "fan-out --publishers 30 --subscribers 30 --batch 4"),
    ("30 queue pairs, receipts, 1 copy", 1, "queues --pairs 30 --receipts {}"),
    ("30 queue pairs, receipts, 3 copies", 3, "queues --pairs 30 --receipts {}"),
    ("1,000 sessions, 1,000 msg/s", 1, "sessions --sessions 1000 --rate 1000"),
]
COLUMNS = ["load", "through", "received/s", "us each", "processor", "p99"]


class Subject:
    """Where the clients of a subject connect, which processes it is, and how its queues are asked for copies."""

    def __init__(self, title, servers, others=(), env=None, quorum=None):
        self.title, self.env, self.quorum = title, env or {}, quorum
        self.urls = [server.urls["tcp"] for server in servers]
        self.pids = [pid for server in [*servers, *others] for pid in server.pids]

    def run(self, binary, copies, load, seconds):
        headers = ["persistent:true"]
        if self.quorum is not None:
            # What it leaves behind goes by itself.
            headers.append("x-expires:20000")
            headers += [self.quorum] if copies > 1 else []
        load = load.format(" ".join(f"--header {header}" for header in headers))
        return bench(binary, self.urls, self.pids, self.env, load, seconds)


def start_jetstream(servers, binary, program):
    """By copies: two sets of pods over the same NATS, since copies are a setting of the engine."""
    urls, nats = servers.start_nats(program, NODES)

    def pods(copies):
        engine = f"engine: {{jetStream: {{servers: {urls}, prefix: copies{copies}, replicas: {copies}}}}}\n"
        return [
            servers.start_broker(binary, f"jetstream-{copies}-{node}", TITLES[JETSTREAM], engine)
            for node in range(NODES)
        ]

    return {copies: Subject(TITLES[JETSTREAM], pods(copies), nats) for copies in (1, NODES)}


def start_relay(servers, binary, upstreams):
    """Each pod in the zone of one upstream."""
    login = servers.folder / "login"
    login.mkdir()
    for key, value in zip(("username", "password"), GUEST.values()):
        (login / key).write_text(value)
    ports = [upstream.urls["tcp"].rsplit(":", 1)[1] for upstream in upstreams]
    listed = ", ".join(f"{{host: 127.0.0.1, port: {port}, zone: z{zone}}}" for zone, port in enumerate(ports))
    credentials = f"systemCredentials: {{directory: {login}}}, clientCredentials: {{directory: {login}}}"
    engine = f"engine: {{relay: {{destinationPrefixes: [/topic, /queue], upstreams: [{listed}], {credentials}}}}}\n"
    pods = [
        servers.start_broker(binary, f"relay-{node}", TITLES[RELAY], f"zone: z{node}\n{engine}") for node in range(NODES)
    ]
    return Subject(TITLES[RELAY], pods, upstreams, quorum="x-queue-type:quorum")


def start(servers, only, binary, program):
    """The subjects that are asked for, each by the copies of its queues."""
    subjects = []
    if JETSTREAM in only:
        subjects.append(start_jetstream(servers, binary, program))
    if RELAY in only or RABBITMQ in only:
        nodes = servers.start_rabbitmq(NODES)
        if RELAY in only:
            subject = start_relay(servers, binary, nodes)
            subjects.append({1: subject, NODES: subject})
        if RABBITMQ in only:
            subject = Subject(TITLES[RABBITMQ], nodes, env=GUEST, quorum="x-queue-type:quorum")
            subjects.append({1: subject, NODES: subject})
    return subjects


def measure(subjects, binary, copies, load, arguments):
    """The reports of each subject, and why there are no more; subjects take turns, so that all see the same machine."""
    outcomes = {subject[copies].title: ([], []) for subject in subjects}
    for _ in range(arguments.rounds):
        for subject in (subject[copies] for subject in subjects):
            reports, problems = outcomes[subject.title]
            if not problems:
                report, problem = subject.run(binary, copies, load, arguments.seconds)
                (problems if problem else reports).append(problem or report)
    return outcomes


def cells(load, through, reports, problems):
    if not reports:
        return [load, through, problems[0], "", "", ""]
    rate, p99 = median(reports, "receivedPerSecond"), median(reports, "latency", "p99")
    cost, percent = median(reports, "server", "microsecondsPerDelivery"), median(reports, "server", "cpuPercent")
    lost = sum(report["lost"] for report in reports)
    notes = "".join([f", {lost} lost" if lost else "", f", then {problems[0]}" if problems else ""])
    latency = f"{p99:.1f} ms" if p99 is not None else ""
    return [load, through, f"{rate:,.0f}{notes}", f"{cost:.1f}", f"{percent:.0f} %", latency]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("nats_server")
    parser.add_argument("--rounds", type=int, default=3, help="medians of so many runs each")
    parser.add_argument("--seconds", type=int, default=5, help="how long each run is measured")
    parser.add_argument("--only", default=",".join(TITLES), help="subjects: " + ", ".join(TITLES))
    parser.add_argument("--markdown", action="store_true", help="as docs/performance.md has it")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    if unknown := [subject for subject in only if subject not in TITLES]:
        parser.error(f"--only {unknown[0]}: known are {', '.join(TITLES)}")

    def line(values):
        widths = [36, 22, 12, 10, 10, 10]
        text = " ".join(f"{value:<{width}}" for value, width in zip(values, widths)).rstrip()
        print("| " + " | ".join(values) + " |" if arguments.markdown else text, flush=True)

    print(f"{machine()}; medians of {arguments.rounds} runs of {arguments.seconds} s\n")
    with started() as servers:
        subjects = start(servers, only, arguments.binary, arguments.nats_server)
        line(COLUMNS)
        if arguments.markdown:
            print("|" + "---|" * len(COLUMNS))
        for title, copies, load in LOADS:
            for through, outcome in measure(subjects, arguments.binary, copies, load, arguments).items():
                line(cells(title, through, *outcome))


if __name__ == "__main__":
    main()
