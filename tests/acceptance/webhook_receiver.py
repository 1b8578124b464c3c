"""A receiver of webhooks in a thread: it verifies what it is sent, and answers as it is told."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.acceptance.harness import WAIT_SECONDS

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


class WebhookReceiver:
    """What was received of the types `wanted`, as (webhook-id, verified body).

    While `free` is not set, it does not answer.
    """

    def __init__(self) -> None:
        self.received: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.free = threading.Event()
        self.free.set()
        self.port = 0
        self.wanted = ["*"]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that has it told of what it wants."""
        url = f"http://127.0.0.1:{self.port}/hook"
        endpoint = {"url": url, "secret": SECRET, "types": self.wanted}
        return {"endpoints": {"crm": endpoint}, "allow_private": True, "allow_http": True}

    def types(self) -> list[str]:
        """The types of what was received."""
        return [body["type"] for _, body in self.received]

    def wait_for(self, count: int) -> None:
        """Wait until so many messages have come."""
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.received) < count:
            assert time.monotonic() < deadline, self.received
            time.sleep(0.02)

    def take(self, request: BaseHTTPRequestHandler) -> int:
        """Take a message and return the status to answer."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append((headers["webhook-id"], Webhook(SECRET).verify(body, headers)))
        self.free.wait(WAIT_SECONDS)
        return self.status


@contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """A receiver that runs until the end of the context."""
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(receiver.take(self))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.free.set()
        server.shutdown()
        server.server_close()
        thread.join()
