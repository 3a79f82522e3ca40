"""The session of examples/clients/reconnect.py against a broker that comes and goes: every message that was published must
have its receipt and must have come.

Usage: recovery.py PORT MESSAGES. Prints `sent N` for each, `ok` at the end.
"""

import importlib.util
import pathlib
import sys
import threading

source = pathlib.Path(__file__).parents[3] / "examples/clients/reconnect.py"
specification = importlib.util.spec_from_file_location("reconnect", source)
reconnect = importlib.util.module_from_spec(specification)
specification.loader.exec_module(reconnect)

port, messages = int(sys.argv[1]), int(sys.argv[2])
session = reconnect.Session("127.0.0.1", port, "ann", "pa:ss")
missing = {str(number) for number in range(messages)}
received = threading.Event()


def handle(frame):
    missing.discard(frame.body)
    if not missing:
        received.set()


session.subscribe("/queue/orders", handle)
for number in range(messages):
    session.publish("/queue/orders", str(number)).wait()
    print(f"sent {number}", flush=True)
received.wait()
session.close()
print("ok", flush=True)
