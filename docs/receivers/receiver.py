"""A subscriber in twenty lines: verifies each webhook, prints its type and recipient. Standard library only.

WEBHOOK_SECRET=whsec_… python3 docs/receivers/receiver.py 9000
"""

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what is authentic and 401 to everything else."""

    def do_POST(self) -> None:
        """Verifies before it reads: the signature covers the raw body."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        given = self.headers.get("X-Webhook-Signature", "")
        authentic = hmac.compare_digest(expected.encode(), given.encode())
        if authentic:
            event = json.loads(body)
            print(event["type"], event["data"]["recipient"], event["id"], flush=True)
        self.send_response(204 if authentic else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet: what arrives is printed above."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
