"""The request line holds the client's path and query at the upstream, to the byte."""

from urllib.parse import parse_qsl, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.address import origin, request_target
from proxy.upstream.routes import Credential, Upstream

PAIRS = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=6)


def test_path_and_query_follow_the_base_url() -> None:
    """Nothing is decoded, encoded or normalised."""
    upstream = Upstream("up", "https://api.example/base")
    assert request_target(upstream, "/v1/%2e/x", "") == "/base/v1/%2e/x"
    assert request_target(upstream, "/v1//x", "a=%20&&b") == "/base/v1//x?a=%20&&b"


NAMES = st.text("abKEY._~-09", min_size=1, max_size=5)
"""The names that a configuration takes."""


@given(name=NAMES, value=st.text(max_size=5), theirs=PAIRS)
def test_the_credentials_field_has_our_value_alone(
    name: str, value: str, theirs: list[tuple[str, str]]
) -> None:
    """The field has only Farebox's value, and the other fields are as they were."""
    query = "&".join(f"{quote_plus(field)}={quote_plus(text)}" for field, text in theirs)
    upstream = Upstream("up", "https://api.example", Credential(value, query=name))
    sent = request_target(upstream, "/x", query).partition("?")[2]
    kept = [pair for pair in theirs if pair[0].partition("[")[0].strip().casefold() != name.casefold()]
    assert parse_qsl(sent, keep_blank_values=True) == [*kept, (name, value)]


@pytest.mark.parametrize(
    "theirs",
    [
        *("key=mine", "KEY=mine", "Key", "%6bey=mine", "k%45y=mine", "key%20=mine", "+key=mine"),
        *("key[]=mine", "key[0]=mine", "key%5B%5D=mine", "b=2;key=mine", ";key=mine;", "b;%6Bey=mine"),
    ],
)
def test_no_spelling_of_the_credentials_field_goes_up(theirs: str) -> None:
    """Some servers ignore the case of names, take `;` for `&`, or `key[]` for `key`."""
    upstream = Upstream("up", "https://api.example", Credential("ours", query="key"))
    assert request_target(upstream, "/x", f"a=1&{theirs}&c=3") == "/x?a=1&c=3&key=ours"


def test_other_fields_go_up_as_they_came() -> None:
    upstream = Upstream("up", "https://api.example", Credential("ours", query="key"))
    assert request_target(upstream, "/x", "keys=1;b=2&a%20b=c") == "/x?keys=1;b=2&a%20b=c&key=ours"


def test_an_origin_is_scheme_and_authority() -> None:
    """The path of a base URL is no part of its origin."""
    assert origin("https://api.example:8443/v1") == "https://api.example:8443"
    assert origin("http://api.example") == "http://api.example"
