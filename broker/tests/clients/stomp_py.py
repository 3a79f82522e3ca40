"""stomp.py against a broker at 127.0.0.1:PORT: every version, receipts, acknowledgements, transactions, heart-beats.

Usage: stomp_py.py PORT [CA_FILE]. With a file of authorities the connections are TLS and the broker's certificate is checked.
Prints `ok` at the end; anything else is a failure.
"""

import queue
import sys
import threading

import stomp

PATIENCE = 20
PORT = int(sys.argv[1])
CA_FILE = sys.argv[2] if len(sys.argv) > 2 else None


class Inbox(stomp.ConnectionListener):
    """Puts what comes into queues, for the script to wait on."""

    def __init__(self):
        self.messages, self.receipts, self.errors = queue.Queue(), queue.Queue(), queue.Queue()
        self.disconnected, self.heartbeat_lost = threading.Event(), threading.Event()

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_disconnected(self):
        self.disconnected.set()

    def on_heartbeat_timeout(self):
        self.heartbeat_lost.set()


def connect(kind, login="ann", passcode="pa:ss", **options):
    connection, inbox = kind([("127.0.0.1", PORT)], **options), Inbox()
    if CA_FILE:
        connection.set_ssl(for_hosts=[("127.0.0.1", PORT)], ca_certs=CA_FILE)
    connection.set_listener("inbox", inbox)
    connection.connect(login, passcode, wait=True)
    return connection, inbox


def equal(found, wanted):
    assert found == wanted, f"{found!r} instead of {wanted!r}"


def round_trip(kind):
    """Subscribes, sends with headers and a body that is not ASCII, unsubscribes, disconnects by receipt."""
    name = f"/topic/round-trip-{kind.__name__}"
    connection, inbox = connect(kind)
    connection.subscribe(name, id="s1", ack="auto", headers={"receipt": "subscribed"})
    equal(inbox.receipts.get(timeout=PATIENCE), "subscribed")
    connection.send(name, "gr\u00fc\u00dfe", headers={"shade": "dark", "receipt": "sent"})
    equal(inbox.receipts.get(timeout=PATIENCE), "sent")
    message = inbox.messages.get(timeout=PATIENCE)
    equal((message.body, message.headers["shade"], message.headers["destination"]), ("gr\u00fc\u00dfe", "dark", name))
    connection.unsubscribe(id="s1", headers={"receipt": "unsubscribed"})
    equal(inbox.receipts.get(timeout=PATIENCE), "unsubscribed")
    connection.send(name, "into the void")
    connection.disconnect(receipt="bye")
    equal(inbox.receipts.get(timeout=PATIENCE), "bye")
    assert inbox.disconnected.wait(PATIENCE)
    assert inbox.messages.empty() and inbox.errors.empty()


def header_escapes():
    connection, inbox = connect(stomp.Connection12)
    connection.subscribe("/topic/escapes", id="s1")
    connection.send("/topic/escapes", "x", headers={"odd": "a:b\\c\nd\re"})
    equal(inbox.messages.get(timeout=PATIENCE).headers["odd"], "a:b\\c\nd\re")
    connection.disconnect()


def binary_bodies():
    connection, inbox = connect(stomp.Connection12, auto_decode=False)
    connection.subscribe("/topic/binary", id="s1")
    body = bytes(range(256)) * 40
    connection.send("/topic/binary", body)
    equal(inbox.messages.get(timeout=PATIENCE).body, body)
    connection.disconnect()


def acknowledgements():
    """What is refused comes again, to the same or to another consumer; what is acknowledged does not."""
    connection, inbox = connect(stomp.Connection12)
    connection.subscribe("/queue/acks", id="s1", ack="client-individual")
    for number in range(3):
        connection.send("/queue/acks", str(number))
    messages = [inbox.messages.get(timeout=PATIENCE) for _ in range(3)]
    equal([message.body for message in messages], ["0", "1", "2"])
    connection.ack(messages[0].headers["ack"])
    connection.nack(messages[1].headers["ack"])
    again = inbox.messages.get(timeout=PATIENCE)
    equal((again.body, again.headers["redelivered"]), ("1", "true"))
    connection.disconnect()
    connection, inbox = connect(stomp.Connection12)
    connection.subscribe("/queue/acks", id="s1", ack="client")
    messages = [inbox.messages.get(timeout=PATIENCE) for _ in range(2)]
    equal(sorted(message.body for message in messages), ["1", "2"])
    connection.ack(messages[1].headers["ack"], receipt="acknowledged")
    equal(inbox.receipts.get(timeout=PATIENCE), "acknowledged")
    connection.disconnect()


def transactions():
    connection, inbox = connect(stomp.Connection12)
    connection.subscribe("/queue/transactions", id="s1")
    aborted, committed = connection.begin(), connection.begin()
    connection.send("/queue/transactions", "aborted", transaction=aborted)
    connection.send("/queue/transactions", "first", transaction=committed)
    connection.send("/queue/transactions", "second", transaction=committed)
    connection.abort(aborted)
    connection.send("/queue/transactions", "outside")
    connection.commit(committed)
    bodies = [inbox.messages.get(timeout=PATIENCE).body for _ in range(3)]
    equal(bodies, ["outside", "first", "second"])
    connection.disconnect()


def heartbeats():
    """Both sides beat; the client would notice a missing one after 1.5 periods."""
    connection, inbox = connect(stomp.Connection12, heartbeats=(500, 500))
    assert not inbox.heartbeat_lost.wait(3)
    connection.send("/queue/heartbeats", "alive", headers={"receipt": "alive"})
    equal(inbox.receipts.get(timeout=PATIENCE), "alive")
    connection.disconnect()


def errors():
    connection, inbox = connect(stomp.Connection12)
    connection.ack("no-such-message")
    error = inbox.errors.get(timeout=PATIENCE)
    assert "no-such-message" in error.body, error.body
    # Over TLS stomp.py takes the end of a connection for one that is idle, and never tells.
    assert CA_FILE or inbox.disconnected.wait(PATIENCE), "an ERROR must end the connection"
    try:
        connect(stomp.Connection12, passcode="wrong")
    except stomp.exception.ConnectFailedException:
        return
    raise AssertionError("a wrong passcode was accepted")


for protocol in (stomp.Connection10, stomp.Connection11, stomp.Connection12):
    round_trip(protocol)
for scenario in (header_escapes, binary_bodies, acknowledgements, transactions, heartbeats, errors):
    scenario()
print("ok")
