"""The middleware of every request: its id, the check of its raw path, and errors as responses."""

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Final

import msgspec
import structlog
from aiohttp import web
from multidict import CIMultiDict

from proxy.clock import Clock
from proxy.edge.aiohttp_server import Middleware, has_sent
from proxy.endpoints.dialects import Dialect, dialect_of
from proxy.errors import OF_THE_BALANCE, Refusal
from proxy.ids import new_id
from proxy.ledger.store import LedgerUnavailable

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


REQUEST_ID: Final = web.RequestKey("request_id", str)
FACTS: Final = web.RequestKey("facts", dict[str, str])
"""What is known of a request so far, such as its account: for the log."""

UNAVAILABLE_STATUS: Final = 503
RETRY_SECONDS: Final = "1"
SHOWN_LENGTH: Final = 256
MODEL_PATH: Final = "/v1/models/"
_UNSAFE_PATH: Final = re.compile(r"(?:^|/)\.\.?(?:/|\Z)|//|\\|%2e|%2f|%5c|%00|[\x00-\x20\x7f]", re.IGNORECASE)


class Asked(msgspec.Struct, frozen=True):
    """Of a request, what its refusal and the log tell of it. `path` is raw."""

    request_id: str
    method: str
    path: str
    headers: Mapping[str, str]
    client: str
    facts: Mapping[str, str]


class Edge:
    """The middleware of all routes. `payment_status` is called at each refusal: a reload may change it.

    So is `top_up_url`, which is empty where there is no page on which accounts pay in.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        payment_status: Callable[[], int],
        on_refusal: Callable[[str], None],
        top_up_url: Callable[[], str] = str,
    ) -> None:
        self._clock = clock
        self._payment_status = payment_status
        self._top_up_url = top_up_url
        self._on_refusal = on_refusal
        self._log = structlog.get_logger("farebox.edge")

    def middleware(self) -> Middleware:
        """The middleware for an application."""

        @web.middleware
        async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
            request_id = new_id("req", self._clock.now_us())
            request[REQUEST_ID] = request_id
            try:
                check_path(raw_path(request))
                response = await handler(request)
            except Exception as error:
                asked = _asked(request, request_id)
                refusal = self.refusal_of(error, asked, begun=has_sent(request))
                if refusal is None:
                    raise
                response = self.refused(refusal, asked)
            if not response.prepared:
                finished(response, request_id, dialect_of(raw_path(request), request.headers))
            return response

        return edge

    def refusal_of(self, error: Exception, asked: Asked, *, begun: bool) -> Refusal | None:
        """The refusal that answers a request whose handler raised this.

        None where nothing can answer it any more: its response has `begun`, or its client is gone.
        """
        if isinstance(error, Refusal):
            refusal = error
        elif isinstance(error, LedgerUnavailable):
            refusal = Refusal("ledger_unavailable", "The ledger cannot be read now.")
        elif isinstance(error, web.HTTPException):
            refusal = _of_http(error, asked)
        elif isinstance(error, ConnectionError):
            return None
        else:
            self._log.exception("request failed", request_id=asked.request_id, fault=type(error).__name__)
            refusal = Refusal("internal_error", "Something went wrong here; the log has the request id.")
        return None if begun else refusal

    def refused(self, refusal: Refusal, asked: Asked) -> web.Response:
        """A refusal as a response, in the shape that clients of its path expect."""
        self._on_refusal(refusal.code)
        level = self._log.warning if refusal.kind.status >= 500 else self._log.info
        facts = {name: shown(fact) for name, fact in asked.facts.items()}
        level(
            "refused",
            request_id=asked.request_id,
            code=refusal.code,
            method=asked.method,
            path=shown(asked.path),
            client=asked.client,
            **facts,
        )
        status = refusal.kind.status
        headers = dict(refusal.headers)
        if refusal.code in OF_THE_BALANCE and (url := self._top_up_url()):
            refusal.details["top_up_url"] = url
        if status == 402:
            status = self._payment_status()
        if refusal.kind.retry is not None:
            headers["x-should-retry"] = "true" if refusal.kind.retry else "false"
        body = dialect_of(asked.path, asked.headers).error(refusal, asked.request_id)
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")


def finished(response: web.StreamResponse, request_id: str, dialect: Dialect) -> None:
    """Put on a response what all of ours have."""
    name_ourselves(response.headers, request_id, dialect)
    if response.status == UNAVAILABLE_STATUS:
        send_elsewhere(response)


def send_elsewhere(response: web.StreamResponse) -> None:
    """Make a client that comes through a balancer move on: its next connection may reach another process."""
    response.headers.setdefault("Retry-After", RETRY_SECONDS)
    response.force_close()


def shown(fact: str) -> str:
    """A fact for the log; what a client wrote may be of any length."""
    return fact if len(fact) <= SHOWN_LENGTH else f"{fact[:SHOWN_LENGTH]}..."


def name_ourselves(headers: CIMultiDict[str], request_id: str, dialect: Dialect) -> None:
    """Set the headers that name the request and the server, without naming the server's software."""
    headers["x-request-id"] = headers[dialect.id_header] = request_id
    headers["Server"] = "farebox"


def raw_path(request: web.BaseRequest) -> str:
    """The path as the client wrote it, without the query and without the authority of an absolute target."""
    return request.rel_url.raw_path


# Clients ask for the same few paths again and again. The bound is for clients that ask for others.
@lru_cache(maxsize=256)
def check_path(path: str) -> None:
    """Refuse a path that two servers could read differently. Raises Refusal `invalid_path`.

    Only the name of a model in the listing may hold encoded slashes: no route is matched by it.
    """
    if path.startswith(MODEL_PATH):
        path = path.replace("%2F", "-").replace("%2f", "-")
    if _UNSAFE_PATH.search(path):
        raise Refusal(
            "invalid_path", "The path must not hold dot segments, encoded slashes or empty segments."
        )


def _asked(request: web.Request, request_id: str) -> Asked:
    client, facts = request.remote or "", request.get(FACTS, {})
    return Asked(request_id, request.method, raw_path(request), request.headers, client, facts)


def _of_http(error: web.HTTPException, asked: Asked) -> Refusal:
    path = asked.path
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Refusal(
            "method_not_allowed", f"{path} takes {allowed}, not {asked.method}.", headers={"Allow": allowed}
        )
    if error.status == 404:
        return Refusal("not_found", f"Nothing is served at {path}.")
    if error.status == 413:
        return Refusal("body_too_large", "The body is too large for this route.")
    return Refusal("invalid_request", f"The request could not be served: {error.reason}.")
