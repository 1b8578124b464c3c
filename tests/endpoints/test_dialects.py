"""Dialects: clients of each maker get errors in the shape that they read."""

import json

import pytest

from proxy.endpoints.dialects import ANTHROPIC, OPENAI, Dialect, dialect_of
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import CODES, Refusal

TYPES = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
    "timeout_error",
}
"""All that Anthropic's API has."""


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages", ANTHROPIC),
        ("/v1/messages/count_tokens", ANTHROPIC),
        ("/v1/messages/batches/x", ANTHROPIC),
        ("/v1/messagesx", OPENAI),
        ("/v1/chat/completions", OPENAI),
        ("/", OPENAI),
        ("", OPENAI),
    ],
)
def test_the_path_says_which_it_is(path: str, dialect: Dialect) -> None:
    """Also where nothing is served."""
    assert dialect_of(path) is dialect


def test_every_endpoint_of_a_maker_has_its_dialect() -> None:
    for path, endpoint in ENDPOINTS.items():
        maker = type(endpoint).__module__.split(".")[2]
        assert dialect_of(path) is (ANTHROPIC if maker == "anthropic" else OPENAI)


@pytest.mark.parametrize("code", CODES)
def test_anthropics_has_our_code_and_figures_beside_a_type_of_theirs(code: str) -> None:
    refusal = Refusal(code, "No.", param="model", details={"available": "0.01"})
    error = json.loads(ANTHROPIC.error(refusal, "req_1"))
    assert error == {
        "type": "error",
        "error": {
            "type": error["error"]["type"],
            "message": "No.",
            "code": code,
            "param": "model",
            "available": "0.01",
        },
        "request_id": "req_1",
    }
    assert error["error"]["type"] in TYPES
    if CODES[code].status == 402:
        assert error["error"]["type"] == "billing_error"


def test_an_event_is_named_where_clients_pass_over_others() -> None:
    refusal = Refusal("upstream_failed", "It broke off.")
    assert ANTHROPIC.error_event(refusal, "req_1") == (
        b"event: error\ndata: " + ANTHROPIC.error(refusal, "req_1") + b"\n\n"
    )
    assert OPENAI.error_event(refusal, "req_1") == b"data: " + refusal.body("req_1") + b"\n\n"


def test_openais_is_the_refusals_own() -> None:
    refusal = Refusal("rate_limit_exceeded", "Later.")
    assert OPENAI.error(refusal, "req_1") == refusal.body("req_1")
