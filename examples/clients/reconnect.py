"""A STOMP session that outlives its connections, with stomp.py: it connects again after a random part of a growing delay,
subscribes again, and sends again what no RECEIPT has come for.

    session = Session("broker.example", 61613, login, passcode)
    session.subscribe("/queue/orders", lambda frame: handle(frame.body))
    session.publish("/queue/orders", "buy").wait()      # set when the broker has it safe

What is sent again may have arrived before: give messages a key of your own and pass over those that you have seen.
"""

import itertools
import random
import sys
import threading

import stomp

FIRST_DELAY = 0.5
LONGEST_DELAY = 30


class Session(stomp.ConnectionListener):
    def __init__(self, host, port, login, passcode):
        self._login = (login, passcode)
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._subscriptions = {}
        self._outbox = {}
        self._connected = False
        self._ended = threading.Event()
        self._closed = threading.Event()
        self._connection = stomp.Connection12([(host, port)], heartbeats=(10000, 10000), reconnect_attempts_max=1)
        self._connection.set_listener("session", self)
        self._keeper = threading.Thread(target=self._keep_connected, daemon=True)
        self._keeper.start()

    def subscribe(self, destination, handle):
        """Calls `handle` with each message, and acknowledges it when `handle` has returned."""
        with self._lock:
            number = str(next(self._numbers))
            self._subscriptions[number] = (destination, handle)
            if self._connected:
                self._start(number)

    def publish(self, destination, body, **headers):
        """Returns an event that is set when the broker has taken the message."""
        with self._lock:
            receipt, done = f"receipt-{next(self._numbers)}", threading.Event()
            self._outbox[receipt] = (destination, body, headers, done)
            if self._connected:
                self._transmit(receipt)
        return done

    def close(self):
        self._closed.set()
        self._ended.set()
        self._keeper.join()

    def _keep_connected(self):
        delay = FIRST_DELAY
        while not self._closed.is_set():
            self._ended.clear()
            try:
                self._connection.connect(*self._login, wait=True)
                with self._lock:
                    self._connected = True
                    for number in self._subscriptions:
                        self._start(number)
                    for receipt in list(self._outbox):
                        self._transmit(receipt)
                delay = FIRST_DELAY
                self._ended.wait()
            except stomp.exception.StompException:
                pass
            # All sessions of a pod end at once when it does: the random part keeps them from coming back at once.
            self._closed.wait(random.uniform(0, delay))
            delay = min(LONGEST_DELAY, delay * 2)
        self._connection.disconnect()

    def _start(self, number):
        self._connection.subscribe(self._subscriptions[number][0], id=number, ack="client-individual")

    def _transmit(self, receipt):
        destination, body, headers, _ = self._outbox[receipt]
        try:
            self._connection.send(destination, body, headers={"persistent": "true", **headers, "receipt": receipt})
        except stomp.exception.StompException:
            self._ended.set()  # it stays in the outbox

    def on_message(self, frame):
        _, handle = self._subscriptions[frame.headers["subscription"]]
        handle(frame)
        self._connection.ack(frame.headers["ack"])

    def on_receipt(self, frame):
        with self._lock:
            kept = self._outbox.pop(frame.headers["receipt-id"], None)
        if kept is not None:
            kept[3].set()

    def on_error(self, frame):
        print(f"ERROR: {frame.headers.get('message')} {frame.body}", file=sys.stderr)  # the broker says why before it closes

    def on_disconnected(self):
        with self._lock:
            self._connected = False
        self._ended.set()
