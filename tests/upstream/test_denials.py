"""Which answers refuse Farebox's own credential, and when that is told."""

import json

import pytest

from proxy.upstream.denials import Denials, is_denial


def error(message: str, **members: object) -> bytes:
    return json.dumps({"error": {"message": message, **members}}).encode()


DENIED = [
    (401, b""),
    (401, error("Incorrect API key provided", code="invalid_api_key")),
    (402, error("Insufficient balance")),
    (403, error("You do not have permission", type="permission_error")),
    (403, error("", code="PERMISSION_DENIED")),
    (403, error("Your API key does not have permission to use this resource")),
    (403, error("Project `p` does not have access to model `m`", code="model_not_found")),
    (403, error("The API-Key has been disabled")),
    (403, b'{"detail": "Invalid credentials"}'),
    (403, b'{"message": "Unauthorized"}'),
    (403, b"Forbidden: invalid access token"),
    (403, b'{"error": "invalid key"}'),
    (403, b'"invalid key"'),
    (403, b"[" + error("", status="PERMISSION_DENIED") + b"]"),
    (403, b'{"message": "invalid key", "x": ' + b"[" * 20_000),
    (403, b'{"message": "invalid key", "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"),
    (429, error("You exceeded your current quota", type="insufficient_quota")),
    (429, error("", code="insufficient_quota")),
]
PASSED = [
    (200, b""),
    (400, error("Incorrect API key provided")),
    (403, b""),
    (403, error("Your input was flagged by moderation", metadata={"flagged_input": "my api key"})),
    (403, error("This key may not send what violates the content policy")),
    (403, error("Content filter", code="content_filter", param="the key of the door")),
    (403, error("Blocked by the safety system; your permission is not the matter")),
    (403, error("Your keyboard is not supported")),
    (403, b"[]"),
    (403, b"\xff\xfe"),
    (403, b'{"error": null}'),
    (404, error("No such key")),
    (429, b"insufficient"),
    (429, error("Rate limit reached", type="requests", code="rate_limit_exceeded")),
    (429, error("Slow down", param="insufficient_quota")),
    (500, error("permission")),
]


@pytest.mark.parametrize(("status", "body"), DENIED)
def test_these_are_about_farebox(status: int, body: bytes) -> None:
    assert is_denial(status, body)


@pytest.mark.parametrize(("status", "body"), PASSED)
def test_these_are_not(status: int, body: bytes) -> None:
    """Above all not what a caller has written, even where an error quotes it."""
    assert not is_denial(status, body)


def test_a_denial_is_told_once_until_the_upstream_answers_well_again() -> None:
    told: list[object] = []
    denials = Denials(on_denial=lambda *denied: told.append(denied), on_end=told.append)
    denials.answered("a", 200)
    for status in (401, 402):
        denials.denied("a", status)
        denials.denied("b", status)
    denials.answered("a", 500)
    denials.answered("a", 400)
    assert told == [("a", 401), ("b", 401)]
    denials.answered("a", 201)
    denials.answered("a", 200)
    denials.denied("a", 403)
    assert told == [("a", 401), ("b", 401), "a", ("a", 403)]
