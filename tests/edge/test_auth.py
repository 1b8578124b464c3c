"""The key of a request: a bearer, or the header that Anthropic's clients send."""

import pytest
from multidict import CIMultiDict

from proxy.edge.auth import bearer_of


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({}, None),
        ({"Authorization": "Bearer sk-1"}, "sk-1"),
        ({"authorization": "bearer   sk-1 "}, "sk-1"),
        ({"X-Api-Key": "sk-1"}, "sk-1"),
        ({"x-api-key": "  sk-1 "}, "sk-1"),
        ({"x-api-key": " "}, None),
        ({"Authorization": "Bearer sk-1", "x-api-key": "sk-2"}, "sk-1"),
        ({"Authorization": "Bearer ", "x-api-key": "sk-2"}, "sk-2"),
        ({"Authorization": "Basic dTpw", "x-api-key": "sk-2"}, "sk-2"),
        ({"Authorization": "Basic dTpw"}, None),
    ],
)
def test_a_bearer_comes_before_an_api_key(headers: dict[str, str], secret: str | None) -> None:
    assert bearer_of(CIMultiDict(headers)) == secret
