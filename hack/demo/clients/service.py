"""A service over STOMP/TCP, by stomp.py: waits for one message, or publishes one.

The login comes by the environment, STOMP_LOGIN and STOMP_PASSCODE: a command line is no place for a password.
"""

import argparse
import os
import sys
import threading

import stomp

PATIENCE = 30


class Session(stomp.ConnectionListener):
    """What has come over the connection, for the main thread to wait for."""

    def __init__(self):
        self.receipt = threading.Event()
        self.message = threading.Event()
        self.body = None
        self.error = None

    def on_receipt(self, frame):
        self.receipt.set()

    def on_message(self, frame):
        self.body = frame.body
        self.message.set()

    def on_error(self, frame):
        self.error = frame.headers.get("message") or frame.body
        self.receipt.set()
        self.message.set()

    def wait(self, event, what):
        if not event.wait(PATIENCE):
            sys.exit(f"no {what} in {PATIENCE} s")
        if self.error is not None:
            sys.exit(f"the broker answered ERROR: {self.error}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("action", choices=["receive", "publish"])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("destination")
    parser.add_argument("text", nargs="?", default="")
    arguments = parser.parse_args()

    connection = stomp.Connection12(
        [(arguments.host, arguments.port)], heartbeats=(10000, 10000), reconnect_attempts_max=1, timeout=PATIENCE
    )
    session = Session()
    connection.set_listener("session", session)
    try:
        connection.connect(os.environ["STOMP_LOGIN"], os.environ["STOMP_PASSCODE"], wait=True)
    except stomp.exception.ConnectFailedException:
        sys.exit(f"no session at {arguments.host}:{arguments.port}: {session.error or 'the connection failed'}")
    if arguments.action == "publish":
        connection.send(arguments.destination, arguments.text, content_type="text/plain", headers={"receipt": "sent"})
        session.wait(session.receipt, "RECEIPT")
    else:
        connection.subscribe(arguments.destination, id="1", ack="auto", headers={"receipt": "subscribed"})
        session.wait(session.receipt, "RECEIPT")
        print("subscribed", flush=True)
        session.wait(session.message, "message")
        print(session.body, flush=True)
    connection.disconnect()


main()
