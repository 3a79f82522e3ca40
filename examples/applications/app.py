"""An application behind a StompBroker: answers what browsers send below /app, and trusts nothing that is not signed.

Needs PyJWT (`pip install pyjwt`). Usage: KEY_FILE=key python3 app.py PORT
"""

import base64
import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import jwt

with open(os.environ["KEY_FILE"], encoding="utf-8") as file:
    KEY = file.read().rstrip()


class Refused(Exception):
    """A request that did not come from the broker as it is."""


def sender(headers, method, path, body):
    """Who sends, by the signature of the broker; see docs/applications.md for the claims."""
    token = headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="greeter", leeway=10)
    except jwt.InvalidTokenError as error:
        raise Refused(str(error)) from error
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    if not hmac.compare_digest(claims["content_digest"], digest):
        raise Refused("the body is not the one that was signed")
    if (claims["htm"], claims["htu"]) != (method, path):
        raise Refused("the signature is for another request")
    return claims


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """SEND: the body of the answer goes where `reply` of the application says."""
        self.handle_signed(lambda claims, body: {"greeting": f"hello {body.decode()}", "from": claims.get("sub")})

    def do_GET(self):
        """SUBSCRIBE: the body of the answer is the one message on this subscription."""
        self.handle_signed(lambda claims, _: {"destination": unquote(self.headers["ce-subject"])})

    def handle_signed(self, handler):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            claims = sender(self.headers, self.command, self.path, body)
        except Refused as error:
            return self.answer(401, {"error": str(error)})
        if self.path.startswith("/admin/") and "admin" not in claims["roles"]:
            return self.answer(403, {"error": "only for administrators"})
        return self.answer(200, handler(claims, body))

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """The broker logs what fails."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", int(sys.argv[1])), Application)
    print("listening", server.server_port, flush=True)
    server.serve_forever()
