"""Stripe as far as top-ups need it: a local HTTP server that checks what Stripe checks, and signs its events.

Requests are forms with brackets and a bearer key. A key of idempotency that comes again with the same
parameters gets the first answer, and with others an error.
"""

import hashlib
import hmac
import itertools
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET_KEY = "sk_test_of_the_fake"
WEBHOOK_SECRET = "whsec_of_the_fake"

Form = dict[str, str]


class FakeStripe:
    """The server, what it was asked for, and what it has made."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Form, dict[str, str]]] = []
        self.sessions: dict[str, dict[str, Any]] = {}
        self.refunds: list[Form] = []
        self.charges: list[dict[str, Any]] = []
        self.down = 0
        self.declines = False
        self._answers: dict[str, tuple[Form, int, dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                text = self.rfile.read(length).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                with fake._lock:
                    status, answer = fake._answer(self.path, text, headers)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Nothing is written to the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, text: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        form = dict(urllib.parse.parse_qsl(text, strict_parsing=True))
        self.requests.append((path, form, headers))
        if headers.get("authorization") != f"Bearer {SECRET_KEY}":
            return _error(401, "invalid_request_error", "Invalid API Key provided")
        is_form = headers.get("content-type") == "application/x-www-form-urlencoded"
        if not is_form or not headers.get("stripe-version"):
            return _error(400, "invalid_request_error", "No form, or a version that is not pinned")
        if self.down:
            self.down -= 1
            return _error(500, "api_error", "Something is wrong on our end")
        key = headers.get("idempotency-key", "")
        if key in self._answers:
            before, status, answer = self._answers[key]
            if before != form:
                return _error(400, "idempotency_error", "Keys can only be used with the same parameters")
            return status, answer
        status, answer = self._made(path, form)
        if key:
            self._answers[key] = (form, status, answer)
        return status, answer

    def _made(self, path: str, form: Form) -> tuple[int, dict[str, Any]]:
        if path == "/v1/checkout/sessions":
            return self._session(form)
        if path == "/v1/refunds":
            return self._refund(form)
        if path == "/v1/payment_intents":
            return self._charge(form)
        return _error(404, "invalid_request_error", f"Unrecognized request URL ({path})")

    def _session(self, form: Form) -> tuple[int, dict[str, Any]]:
        amount = form.get("line_items[0][price_data][unit_amount]", "")
        wanted = {
            "mode": "payment",
            "line_items[0][price_data][currency]": "usd",
            "line_items[0][quantity]": "1",
        }
        wrong = [name for name, value in wanted.items() if form.get(name) != value]
        if wrong or not amount.isdecimal() or "success_url" not in form:
            return _error(400, "invalid_request_error", f"Invalid parameters: {wrong or form}")
        number = next(self._numbers)
        session: dict[str, Any] = {
            "id": f"cs_test_{number}",
            "object": "checkout.session",
            "url": f"{self.url}/pay/cs_test_{number}",
            "client_reference_id": form.get("client_reference_id"),
            "metadata": _nested(form, "metadata"),
            "amount_total": int(amount),
            "currency": "usd",
            "payment_status": "unpaid",
            "payment_intent": None,
        }
        session["intent"] = {
            "id": f"pi_test_{number}",
            "metadata": _nested(form, "payment_intent_data[metadata]"),
        }
        self.sessions[form["client_reference_id"]] = session
        return 200, {name: value for name, value in session.items() if name != "intent"}

    def _charge(self, form: Form) -> tuple[int, dict[str, Any]]:
        wanted = {"currency": "usd", "off_session": "true", "confirm": "true", "customer": "cus_1"}
        if any(form.get(name) != value for name, value in wanted.items()) or not form["amount"].isdecimal():
            return _error(400, "invalid_request_error", f"Invalid parameters: {form}")
        if form["payment_method"] != "pm_1" or self.declines:
            status, answer = _error(402, "card_error", "Your card was declined.")
            answer["error"]["code"] = "card_declined"
            return status, answer
        charge = {
            "id": f"pi_auto_{next(self._numbers)}",
            "object": "payment_intent",
            "status": "succeeded",
            "amount_received": int(form["amount"]),
            "currency": "usd",
            "metadata": _nested(form, "metadata"),
        }
        self.charges.append(charge)
        return 200, charge

    def _refund(self, form: Form) -> tuple[int, dict[str, Any]]:
        payments = {each["intent"]["id"]: each for each in self.sessions.values()}
        paid = payments.get(form.get("payment_intent", ""))
        if paid is None or paid["payment_status"] != "paid":
            return _error(404, "invalid_request_error", "No such payment_intent")
        before = sum(
            int(each["amount"]) for each in self.refunds if each["payment_intent"] == form["payment_intent"]
        )
        if before + int(form["amount"]) > paid["amount_total"]:
            return _error(400, "invalid_request_error", "Refund amount is greater than the charge's")
        self.refunds.append(form)
        return 200, {"id": f"re_test_{next(self._numbers)}", "object": "refund", "status": "succeeded"}

    def paid(self, top_up_id: str) -> dict[str, Any]:
        """The buyer pays on the page: the session as it is then."""
        session = self.sessions[top_up_id]
        session |= {"payment_status": "paid", "payment_intent": session["intent"]["id"]}
        return {name: value for name, value in session.items() if name != "intent"}


def event(type_: str, thing: dict[str, Any], number: int = 1) -> bytes:
    """An event as it is sent."""
    return json.dumps(
        {
            "id": f"evt_{number}",
            "object": "event",
            "type": type_,
            "livemode": False,
            "data": {"object": thing},
        }
    ).encode()


def signature(notice: bytes, secret: str = WEBHOOK_SECRET, *, at: float | None = None) -> str:
    """The signature of a notice, in the header's form."""
    stamp = int(time.time() if at is None else at)
    signed = hmac.new(secret.encode(), f"{stamp}.".encode() + notice, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={signed}"


def send(url: str, notice: bytes, signed: str | None = None) -> tuple[int, dict[str, Any]]:
    """Send a notice to the webhook; status and answer."""
    headers = {"Content-Type": "application/json", "Stripe-Signature": signed or signature(notice)}
    request = urllib.request.Request(f"{url}/v1/webhooks/stripe", notice, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def _nested(form: Form, prefix: str) -> dict[str, str]:
    return {
        name[len(prefix) + 1 : -1]: value for name, value in form.items() if name.startswith(f"{prefix}[")
    }


def _error(status: int, type_: str, message: str) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"type": type_, "message": message}}
