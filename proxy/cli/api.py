"""The client of the admin API: one request, one answer, with the standard library."""

import json
import os
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import click

DEFAULT_URL: Final = "http://127.0.0.1:8080"
KEY_VARIABLE: Final = "FAREBOX_ADMIN_KEY"
URL_VARIABLE: Final = "FAREBOX_URL"
TIMEOUT_SECONDS: Final = 30.0
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024

Json = dict[str, Any]


class ApiError(click.ClickException):
    """The API could not be reached, or refused. The message goes to standard error, the exit code is 1."""


class Api:
    """The admin API of a running server. The key comes from the environment: others would see a flag."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ApiError(f"{url!r} is not an address; write one such as {DEFAULT_URL}.")
        self._url = url
        self._parts = parts
        self._key = key

    @classmethod
    def from_environment(cls, url: str) -> "Api":
        """The API at `url`, with the environment's key. Raises ApiError if there is no key."""
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise ApiError(f"{KEY_VARIABLE} is not set; it has to hold the server's admin key.")
        return cls(url, key)

    def get(self, path: str, query: Mapping[str, object] | None = None) -> bytes:
        """The answer to a GET, without the query fields that are None. Raises ApiError."""
        fields = {name: value for name, value in (query or {}).items() if value is not None}
        return self._send("GET", f"{path}?{urlencode(fields)}" if fields else path, None, {})

    def post(
        self,
        path: str,
        body: Json,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = TIMEOUT_SECONDS,
    ) -> bytes:
        """The answer to a POST, which may take so many seconds. Raises ApiError."""
        return self._send("POST", path, body, headers or {}, seconds)

    def send(self, path: str, content: bytes, kind: str) -> bytes:
        """The answer to a POST of a body as it is, of a media type. Raises ApiError."""
        return self._send("POST", path, content, {"Content-Type": kind})

    def put(self, path: str, body: Json) -> bytes:
        """The answer to a PUT. Raises ApiError."""
        return self._send("PUT", path, body, {})

    def delete(self, path: str) -> bytes:
        """The answer to a DELETE. Raises ApiError."""
        return self._send("DELETE", path, None, {})

    def patch(self, path: str, body: Json) -> bytes:
        """The answer to a PATCH. Raises ApiError."""
        return self._send("PATCH", path, body, {})

    def _send(
        self,
        method: str,
        path: str,
        body: Json | bytes | None,
        headers: Mapping[str, str],
        seconds: float = TIMEOUT_SECONDS,
    ) -> bytes:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self._key}", "Accept": "application/json"}
        if content is not None:
            sent["Content-Type"] = "application/json"
        sent |= headers
        try:
            connection = self._connection(seconds)
            try:
                connection.request(method, self._parts.path.rstrip("/") + path, content, sent)
                response = connection.getresponse()
                answer = response.read(MAX_ANSWER_BYTES)
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError) as fault:
            raise ApiError(
                f"{self._url} could not be reached: {str(fault) or type(fault).__name__}."
            ) from fault
        if not 200 <= response.status < 300:
            raise ApiError(_error_line(response, answer))
        return answer

    def _connection(self, seconds: float) -> HTTPConnection:
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        return kind(self._parts.hostname or "", self._parts.port, timeout=seconds)


def segment(name: str) -> str:
    """A name as one segment of a path, whatever characters it has."""
    return quote(name, safe="")


def _error_line(response: HTTPResponse, answer: bytes) -> str:
    """The error of an answer in one line; only its status if it is not an error of this API."""
    try:
        error = json.loads(answer)["error"]
        return f"{error['message']} ({response.status} {error['code']}, request {error['request_id']})"
    except (ValueError, KeyError, TypeError):
        return f"The server answered {response.status} {response.reason}, which is not an answer of Farebox."
