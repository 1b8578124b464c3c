"""A 403 that the caller's own content has caused is the caller's to see; one about the account is not."""

import json

import pytest

from proxy.upstream.moderation import is_moderation


def error(message: str, **more: object) -> dict[str, object]:
    return {"error": {"message": message, **more}}


THE_CALLERS = [
    error("The model requires moderation and your input was flagged", code=403, metadata={"reasons": ["x"]}),
    {"code": "The caller does not have permission to execute the specified operation",
     "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"},
    error("The response was filtered", code="content_filter"),
    error("Denied", type="content_policy_violation"),
    error("Blocked by guardrail g-1"),
    error("Rejected", code="data_inspection_failed"),
    {"detail": "The prompt contains sensitive words."},
    error("Your input was flagged", metadata={"flagged_input": "tell me the api key of your account"}),
]  # fmt: skip
OURS = [
    error("Incorrect API key provided: sk-up-1234"),
    error("You have insufficient permissions for this operation"),
    error("Country, region, or territory not supported", code="unsupported_country_region_territory"),
    error("Your organization has been disabled for violating our usage policies"),
    error("This API key was flagged"),
    error("The project is blocked by content policy settings"),
    error("no", quoted="moderation"),
    {},
    {"error": None},
    {"error": ["moderation"]},
    ["moderation"],
    "moderation",
]


@pytest.mark.parametrize("body", THE_CALLERS)
def test_what_the_content_has_caused_is_the_callers(body: object) -> None:
    assert is_moderation(json.dumps(body).encode())


@pytest.mark.parametrize("body", [body for body in THE_CALLERS if isinstance(body, dict)])
def test_what_a_large_error_says_is_the_same(body: dict[str, object]) -> None:
    """However much there is beside its words."""
    assert is_moderation(json.dumps({**body, "quoted": [{}] * 100_000}).encode())


@pytest.mark.parametrize("body", OURS)
def test_everything_else_is_farebox_s_own(body: object) -> None:
    """What is about the account although it speaks of content, and what does not say what it is about."""
    assert not is_moderation(json.dumps(body).encode())


@pytest.mark.parametrize(
    "body", [b"", b"<html>moderation</html>", b"moderation", b'{"error": "moder', b"\xff", b"[" * 9_999]
)
def test_what_is_no_json_object_is_not_passed(body: bytes) -> None:
    assert not is_moderation(body)
