"""Receive opswatch's callbacks: verify the signature, print the event, answer. No dependency.

WEBHOOK_SECRETS="whsec_new whsec_old" python3 receiver.py 8080
"""

import base64
import hmac
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300  # seconds by which a timestamp may differ from this clock; it prevents replays
MAX_BODY = 64 * 1024  # opswatch sends less than 20 kB
MIN_KEY, MAX_KEY = 24, 64  # bytes
MALFORMED = "malformed: it must be whsec_ and base64 of 24 to 64 bytes, as `opswatch secret` prints"
seen: set[str] = set()  # lost at a restart; in production, use a unique key in your database


def handle(event: dict[str, object]) -> None:
    """Do your work here, within 15 seconds: after that opswatch sends the event again."""
    print(json.dumps(event), flush=True)


def read_secrets() -> list[bytes]:
    """Return the keys in WEBHOOK_SECRETS; raise `ValueError` if any of them is missing or wrong.

    It is read for each request, too, because anybody can sign with an empty key.
    """
    keys: list[bytes] = []
    for number, secret in enumerate(os.environ.get("WEBHOOK_SECRETS", "").split(), start=1):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith("whsec_") or not MIN_KEY <= len(key) <= MAX_KEY:
            raise ValueError(f"WEBHOOK_SECRETS: secret {number} is {MALFORMED}")
        keys.append(key)
    if not keys:
        raise ValueError("WEBHOOK_SECRETS is missing: `opswatch secret` creates one")
    return keys


def is_number(text: str) -> bool:
    """Return whether a header contains only digits, and not too many."""
    return re.fullmatch(r"[0-9]{1,12}", text) is not None


def is_genuine(
    keys: list[bytes], message_id: str, timestamp: str, signatures: str, body: bytes
) -> bool:
    """Return whether one of the signatures (`v1,…`, separated by spaces) is by one of `keys`."""
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body  # the raw body, before parsing
    digests = [hmac.digest(key, signed, "sha256") for key in keys]
    ours = [b"v1," + base64.b64encode(digest) for digest in digests]
    given = signatures.encode("latin-1").split(b" ")
    return any(hmac.compare_digest(own, other) for own in ours for other in given)


class Receiver(BaseHTTPRequestHandler):
    """Handle one connection."""

    timeout = 15  # seconds, if a sender stops in the middle of a request

    def do_POST(self) -> None:
        """Answer one callback."""
        names = ("webhook-id", "webhook-timestamp", "webhook-signature", "content-length")
        self.send_response(self.receive(*(self.headers.get(name, "") for name in names)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def receive(self, message_id: str, timestamp: str, signatures: str, length: str) -> int:
        """Return the status code of the answer."""
        is_whole = message_id and signatures and is_number(timestamp) and is_number(length)
        if not is_whole or int(length) > MAX_BODY:
            return 400
        body = self.rfile.read(int(length))
        try:
            keys = read_secrets()
        except ValueError as error:
            print(error, file=sys.stderr, flush=True)
            return 500  # the event is sent again later
        if not is_genuine(keys, message_id, timestamp, signatures, body):
            return 401
        if message_id not in seen:  # otherwise it was sent again, because the last answer was lost
            handle(json.loads(body))
            seen.add(message_id)  # last: if anything fails before this, the event is sent again
        return 204


if __name__ == "__main__":
    try:
        read_secrets()
    except ValueError as error:
        sys.exit(str(error))
    port = int(sys.argv[1]) if sys.argv[1:] else 8080
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    print(f"Listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
