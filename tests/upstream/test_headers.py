"""What passes between a client and an upstream is decided field by field before ours is added."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.base import UpstreamRequest
from proxy.upstream.headers import NOT_UP, RETRY_AFTER_STATUSES, Stopped, downward, upward
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.redaction import Redaction
from proxy.upstream.request import destination_of, request_bytes
from proxy.upstream.routes import Upstream

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, st.text("abc, xyz", max_size=12)), max_size=12)


def fields_of(head: bytes) -> list[tuple[str, str]]:
    """The fields of a head's lines."""
    lines = head.decode().split("\r\n")[:-1]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def up(sent: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return fields_of(upward(sent, ()))


def whole(sent: list[tuple[str, str]], own: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields of a whole request, between those that are ours always."""
    upstream = Upstream("inner", "http://inner.example", headers=tuple(own))
    destination = destination_of(upstream, cast("ConnectionPool", None))
    head = request_bytes(destination, UpstreamRequest("GET", "/x", "", tuple(sent), b"")).head
    request_line, host, *fields, end = fields_of(head)
    assert (request_line[0], host, end) == ("GET /x HTTP/1.1", ("Host", "inner.example"), ("", ""))
    fields.remove(("Accept-Encoding", "identity"))
    return fields


def down(*headers: tuple[str, str], status: int = 200, undone: bool = False) -> list[tuple[str, str]]:
    return downward(
        status, headers, origin="https://inner.example:8443", redaction=Redaction(()), undone=undone
    )


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
        assert up([(written, "x"), ("User-Agent", "sdk")]) == [("User-Agent", "sdk")]


SPECIMENS = {
    "Farebox frames": "Transfer-Encoding Upgrade TE HTTP2-Settings",
    "They describe": "Content-Encoding Content-Length Host Expect Accept-Encoding",
    "They authenticate": (
        "Authorization Cookie Cookie2 Proxy-Authorization X-Api-Key X-Auth-Token Private-Token "
        "X-Access-Token X-Goog-Api-Key X-Goog-Iam-Authorization-Token X-Amz-Security-Token X-Amz-Date "
        "Xi-Api-Key X-Amzn-Oidc-Data Ocp-Apim-Subscription-Key X-RapidAPI-Key X-Subscription-Token "
        "DD-API-KEY X-CSRF-Token DD-APPLICATION-KEY X-Functions-Key Aeg-Sas-Key X-XSRF-TOKEN "
        "X-Vault-Token CF-Access-Client-Secret DPoP X-Forwarded-Access-Token X-Id-Token X-Password "
        "X-Session-Id Signature Signature-Input X-JWT-Assertion X-Hub-Signature-256 X-WSSE "
        "X-MS-Client-Principal X-Auth-Request-Email Session_Id Apikey Client-Secret"
    ),
    "They choose": "OpenAI-Organization OpenAI-Project",
    "They would have the upstream carry": "X-HTTP-Method-Override X-HTTP-Method X-Method-Override X-Method",
    "They would have the upstream serve": (
        "X-Original-URL X-Rewrite-URL X-Original-URI X-Original-Host Proxy X-Host-Override "
        "X-HTTP-Host-Override X-Envoy-Original-Path X-Override-URL X-Proxy-URL X-Host Destination"
    ),
    "They say": (
        "X-Forwarded-For X-Forwarded-Host Forwarded Via X-Real-IP True-Client-IP CF-Connecting-IP "
        "Fastly-Client-IP X-Client-IP X-Remote-User Remote-User X-Cluster-Client-IP X-SSL-Client-Cert "
        "X-Appengine-User-IP"
    ),
    "They are Farebox's": "X-Farebox-Account x-farebox-include",
}
"""Fields of each kind in the table, by how its reason begins."""


@pytest.mark.parametrize("kind", NOT_UP, ids=lambda kind: kind.why[:28])
def test_no_field_of_any_kind_that_stops_here_goes_up(kind: Stopped) -> None:
    """Each kind has its reason, and holds however a name is written: with `_` servers read it as with `-`."""
    (specimens,) = [names for why, names in SPECIMENS.items() if kind.why.startswith(why)]
    named = [*specimens.split(), *kind.names, *(f"{prefix}anything" for prefix in kind.prefixes)]
    for name in named:
        for written in (name, name.lower(), name.upper(), name.replace("-", "_")):
            assert up([(written, "x"), ("User-Agent", "sdk")]) == [("User-Agent", "sdk")], written


@pytest.mark.parametrize(
    "name",
    [
        *("Accept", "User-Agent", "OpenAI-Beta", "anthropic-version", "Idempotency-Key", "X-Stainless-Arch"),
        *("X-Request-Id", "traceparent", "baggage", "Content-Type", "Accept-Language", "X-Client-Request-Id"),
        *("X-Max-Tokens", "X-Token-Count", "Helicone-Property-App", "HTTP-Referer", "X-Title", "Authority"),
        *("X-Keyboard", "X-Passenger", "If-None-Match", "Range", "X-Signatures-Wanted", "Sessions"),
    ],
)
def test_what_is_of_no_such_kind_goes_up(name: str) -> None:
    """A name that only resembles a credential's is none."""
    assert up([(name, "x")]) == [(name, "x")]


def test_everything_else_goes_up_in_order_with_repeats() -> None:
    """Other fields pass unchanged."""
    sent = [("OpenAI-Beta", "a"), ("accept", "application/json"), ("X-Thing", "1"), ("X-Thing", "2")]
    assert up(sent) == sent


@pytest.mark.parametrize(
    "field", [("X-Odd", "a\r\nX-Other: b"), ("X-Odd", "a\nb"), ("X-Odd", "a\0"), ("X-O\r\ndd", "a")]
)
def test_a_field_that_would_break_the_request_goes_nowhere(field: tuple[str, str]) -> None:
    """Every line of the head is one that was meant."""
    with pytest.raises(ValueError, match="break the request"):
        upward([("Accept", "*/*"), field], ())
    with pytest.raises(ValueError, match="would break its requests"):
        whole([], [field])


def test_a_name_with_a_percent_sign_is_a_name_like_others() -> None:
    assert up([("X-100%", "50%"), ("Cookie", "%s"), ("X-%s", "%d")]) == [("X-100%", "50%"), ("X-%s", "%d")]
    assert down(("X-%s", "%d"), ("Via", "x")) == [("X-%s", "%d")]


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
    passed = up(sent) if way == "up" else down(*sent)
    assert passed == [("X-Three", "3")]


def test_our_own_fields_cannot_be_named_away() -> None:
    """Farebox's own headers pass though the client lists them in Connection, and replace the client's."""
    sent = [("Connection", "authorization, x-static"), ("x-static", "theirs"), ("Authorization", "theirs")]
    own = [("Authorization", "Bearer ours"), ("X-Static", "ours")]
    assert whole(sent, own) == own


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


@pytest.mark.parametrize("name", ["Link", "Content-Location", "Refresh", "location"])
@pytest.mark.parametrize(
    ("value", "comes_down"),
    [
        ("<https://inner.example:8443/v1/x?page=2>; rel=next", False),
        ("</v1/x>; rel=prev, <//user@INNER.example:8443>; rel=next", False),
        ("0; url=http://inner.example:8443/x", False),
        ("<https://inner.example:84430/x>; rel=next", True),
        ("<https://files.example/x?of=https:/inner.example:8443>; rel=next", True),
        ("</v1/x?page=2>; rel=next", True),
    ],
)
def test_no_field_that_leads_somewhere_leads_to_the_upstream_itself(
    name: str, value: str, comes_down: bool
) -> None:
    assert down((name, value)) == ([(name, value)] if comes_down else [])


@pytest.mark.parametrize("base", ["https://inner.example", "https://inner.example:443"])
@pytest.mark.parametrize("location", ["https://inner.example/x", "https://inner.example:443/x"])
def test_the_port_by_default_is_the_same_address(base: str, location: str) -> None:
    sent = [("Location", location), ("Link", location.replace("inner", "in\udce9ner"))]
    assert downward(302, sent, origin=base, redaction=Redaction(()), undone=False) == []


@pytest.mark.parametrize("secrets", [(), ("sk-secret-123456",)])
@pytest.mark.parametrize("value", ["caf\udce9", "a caf\udce9 that is longer than what is secret"])
def test_a_value_that_is_no_text_passes(value: str, secrets: tuple[str, ...]) -> None:
    """Bytes that are no UTF-8 come as lone surrogates, and end no call."""
    sent = [("X-Place", value), ("Date", "x")]
    assert downward(200, sent, origin="http://inner", redaction=Redaction(secrets), undone=False) == sent


def test_a_secret_with_bytes_between_that_are_not_sent_does_not_pass() -> None:
    """A head is sent without what is no text, so that the secret would be whole in it."""
    sent = [("X-Told", "sk-sec\udce9ret-\udcff123456")]
    redaction = Redaction(("sk-secret-123456",))
    assert downward(200, sent, origin="http://inner", redaction=redaction, undone=False) == []


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
    passed = whole(sent, own)
    theirs = passed[: len(passed) - len(own)]
    assert passed[len(theirs) :] == own
    assert not {name.lower() for name, _ in theirs} & {name.lower() for name, _ in own}
    assert all(field in sent for field in theirs)


@given(sent=FIELDS)
def test_stripping_twice_changes_nothing_more(sent: list[tuple[str, str]]) -> None:
    """What has passed once passes again as it is."""
    assert up(up(sent)) == up(sent)
    assert down(*down(*sent)) == down(*sent)
