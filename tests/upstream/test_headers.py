"""What passes between a client and an upstream is decided field by field before ours is added."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.headers import RETRY_AFTER_STATUSES, downward, upward

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, st.text("abc, xyz", max_size=12)), max_size=12)


def down(*headers: tuple[str, str], status: int = 200, undone: bool = False) -> list[tuple[str, str]]:
    return downward(status, headers, origin="https://inner.example:8443", undone=undone)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "x-api-key",
        "API-Key",
        "X-Goog-Api-Key",
        "Cookie",
        "Proxy-Authorization",
        "Proxy-Connection",
        "X-Forwarded-For",
        "X-Farebox-Account",
        "OpenAI-Organization",
        "OpenAI-Project",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Keep-Alive",
        "Expect",
        "Accept-Encoding",
        "Forwarded",
    ],
)
def test_these_never_go_up(name: str) -> None:
    """Credentials, who the client is, framing and hop-by-hop fields stay here, however they are written."""
    for written in (name, name.lower(), name.upper()):
        assert upward([(written, "x"), ("User-Agent", "sdk")], ()) == [("User-Agent", "sdk")]


def test_everything_else_goes_up_in_order_with_repeats() -> None:
    """Other fields pass unchanged."""
    sent = [("OpenAI-Beta", "a"), ("accept", "application/json"), ("X-Thing", "1"), ("X-Thing", "2")]
    assert upward(sent, ()) == sent


@pytest.mark.parametrize("way", ["up", "down"])
def test_every_field_that_connection_names_stops_here(way: str) -> None:
    """Connection lists the fields of one hop, in several lines and any case."""
    sent = [
        ("Connection", "close, X-One"),
        ("connection", "x-two"),
        ("X-One", "1"),
        ("x-two", "2"),
        ("X-Three", "3"),
    ]
    passed = upward(sent, ()) if way == "up" else down(*sent)
    assert passed == [("X-Three", "3")]


def test_our_own_fields_cannot_be_named_away() -> None:
    """Farebox's own headers pass though the client lists them in Connection, and replace the client's."""
    sent = [("Connection", "authorization, x-static"), ("x-static", "theirs"), ("Authorization", "theirs")]
    own = [("Authorization", "Bearer ours"), ("X-Static", "ours")]
    assert upward(sent, own) == own


@pytest.mark.parametrize(
    "name",
    [
        "Set-Cookie",
        "Server",
        "Alt-Svc",
        "CF-Ray",
        "cf-cache-status",
        "Strict-Transport-Security",
        "X-RateLimit-Remaining-Tokens",
        "anthropic-ratelimit-requests-limit",
        "anthropic-organization-id",
        "OpenAI-Organization",
        "openai-project",
        "Content-Length",
        "Content-Encoding",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "WWW-Authenticate",
        "X-Farebox-Cost",
        "NEL",
    ],
)
def test_these_never_come_down(name: str) -> None:
    """What tells of the shared account, the upstream's software or the framing stays here."""
    for written in (name, name.lower(), name.upper()):
        assert down((written, "x"), ("openai-version", "2020-10-01")) == [("openai-version", "2020-10-01")]


def test_the_upstreams_request_id_comes_down_under_another_name() -> None:
    """`x-request-id` is ours to set."""
    assert down(("X-Request-Id", "req_up")) == [("x-upstream-request-id", "req_up")]


@pytest.mark.parametrize("status", [200, 202, 402, 429, 500, 503])
def test_when_to_come_back_is_told_only_where_it_is_about_the_call(status: int) -> None:
    """Retry-After comes down with 202, 429 and 503 alone."""
    sent = [("Retry-After", "3"), ("retry-after-ms", "3000")]
    assert down(*sent, status=status) == (sent if status in RETRY_AFTER_STATUSES else [])


@pytest.mark.parametrize(
    ("location", "comes_down"),
    [
        ("https://inner.example:8443/v1/x?key=secret", False),
        ("http://inner.example:8443", False),
        ("//INNER.example:8443/x", False),
        ("https://inner.example:84430/x", True),
        ("https://files.example/x", True),
        ("/v1/other//path", True),
        ("", True),
    ],
)
def test_a_redirect_never_leads_past_us(location: str, comes_down: bool) -> None:
    """A Location on the upstream itself is dropped, any other passes."""
    assert down(("Location", location), status=302) == ([("Location", location)] if comes_down else [])


@pytest.mark.parametrize("undone", [True, False])
def test_a_digest_of_encoded_bytes_goes_with_the_encoding(undone: bool) -> None:
    """Digests go to the client only with the bytes that they were made of."""
    sent = [("Content-MD5", "x"), ("Repr-Digest", "y"), ("ETag", "z")]
    assert down(*sent, undone=undone) == (sent[2:] if undone else sent)


@given(sent=FIELDS, own=FIELDS)
def test_what_goes_up_ends_with_ours_and_holds_nothing_new(
    sent: list[tuple[str, str]], own: list[tuple[str, str]]
) -> None:
    """Whatever a client sends, our fields stand last and untouched, and no other has one of their names."""
    passed = upward(sent, own)
    theirs = passed[: len(passed) - len(own)]
    assert passed[len(theirs) :] == own
    assert not {name.lower() for name, _ in theirs} & {name.lower() for name, _ in own}
    assert all(field in sent for field in theirs)


@given(sent=FIELDS)
def test_stripping_twice_changes_nothing_more(sent: list[tuple[str, str]]) -> None:
    """What has passed once passes again as it is."""
    assert upward(upward(sent, ()), ()) == upward(sent, ())
    assert down(*down(*sent)) == down(*sent)
