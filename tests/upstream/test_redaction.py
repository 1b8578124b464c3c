"""No answer tells a caller what its request went up with, however that is spelled and wherever it stands."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.base import UpstreamFailure
from proxy.upstream.client import MAX_ERROR_BYTES, HttpUpstreams
from proxy.upstream.headers import downward
from proxy.upstream.redaction import Redaction, secrets_of
from proxy.upstream.routes import Credential, Upstream
from tests.upstream.calls import fetched, refused_by, to, upstream_request
from tests.upstream.scripted import STREAM_HEAD, answering, http_answer, http_chunk, saying, scripted

SECRET = 'sk/live+Zq7 "\\=&0123456789abcdef'
"""It has every character that some spelling changes."""
Spelling = Callable[[str], str]


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WHOLE: dict[str, Spelling] = {
    "as it is": str,
    "percent-encoded": quote,
    "percent-encoded with slashes": lambda text: quote(text, safe=""),
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
}
"""How an answer repeats its request as it was sent."""
SPELLINGS: dict[str, Spelling] = {
    **WHOLE,
    "in lower case": str.lower,
    "in upper case": str.upper,
    "in a query": lambda text: quote(text, safe="").replace("%20", "+"),
    "every character percent-encoded": lambda text: "".join(f"%{ord(one):02x}" for one in text),
    "percent-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent-encoded thrice": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "some characters percent-encoded": lambda text: text.replace("e", "%65").replace("1", "%31"),
    "in JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "every character escaped": lambda text: "".join(f"\\u{ord(one):04X}" for one in text),
    "escaped as in Python": lambda text: "".join(f"\\x{ord(one):02x}" for one in text),
    "escaped and then percent-encoded": lambda text: quote("".join(f"\\u{ord(one):04x}" for one in text)),
    "in HTML": html.escape,
    "in HTML in JSON": lambda text: json.dumps(html.escape(text)),
    "in decimal references": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "in hexadecimal references": lambda text: "".join(f"&#x{ord(one):X};" for one in text),
    "in hexadecimal": lambda text: text.encode().hex(),
    "in base64": in_base64,
    "in base64 behind one byte": lambda text: in_base64("u" + text),
    "in base64 behind two bytes": lambda text: in_base64("u:" + text + ":"),
    "in base64 behind its scheme": lambda text: in_base64(f"Authorization: Bearer {text}\r\n"),
    "in base64 for URLs": lambda text: in_base64(f"?{text}?").translate(str.maketrans("+/", "-_")),
    "in base64 in a URL": lambda text: quote(in_base64(text), safe=""),
}
SURROUNDINGS = (
    "{}",
    "https://x.example/v1?key={}&a=1",
    "Bearer {}",
    '{{"error":"bad key {}."}}',
    "<{}>; rel=next",
)


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("around", SURROUNDINGS)
def test_no_header_tells_a_secret_in_any_spelling(spelling: Spelling, around: str) -> None:
    """Whichever field it is in, and whatever is around it; other fields pass."""
    value = around.format(spelling(SECRET))
    sent = [("Location", value), ("Link", value), ("X-Echo", value), ("ETag", '"1"')]
    passed = downward(302, sent, origin="https://inner", redaction=Redaction([SECRET]), undone=False)
    assert passed == [("ETag", '"1"')]


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "400 Bad Request", "503 Service Unavailable"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
async def test_no_error_and_no_redirect_tells_a_secret_in_any_spelling(
    client: HttpUpstreams, spelling: Spelling, status: str
) -> None:
    """It is masked where it stands as it was sent, with its status; elsewhere the whole error is withheld."""
    told = f'{{"error": "you sent {spelling(SECRET)} to us"}}'.encode()
    said = http_answer(told, f"X-Echo: {spelling(SECRET)}", status=status)
    async with scripted(saying(said)) as upstream:
        answer = await client.send(to(upstream, Credential(f"Bearer {SECRET}")), upstream_request())
        assert (answer.status, answer.headers) == (int(status[:3]), [])
        try:
            body = b"".join([chunk async for chunk in answer.chunks()])
        except UpstreamFailure as failure:
            withheld = failure.code == "upstream_denied"
            body = str(failure).encode()
        else:
            withheld = False
            assert body.startswith(b'{"error": "you sent ')
            assert b"*" * len(SECRET) in body
            assert body.endswith(b' to us"}')
    assert withheld or spelling not in (str.lower, str.upper)
    assert not (withheld and spelling in WHOLE.values())
    assert not Redaction([SECRET]).is_told_by(body)


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60),
    data=st.data(),
)
def test_each_character_may_be_spelled_in_its_own_way(secret: str, data: st.DataObject) -> None:
    """Any mixture of spellings is found, before and behind any text that ends a word."""
    kinds = ["{0}", "%{1:02x}", "%25{1:02X}", "\\u{1:04x}", "&#{1};", "&#x{1:x};"]
    mixed = "".join(data.draw(st.sampled_from(kinds)).format(one, ord(one)) for one in secret)
    # A sign that begins an escape is part of one if what follows it fits; a server would read it so, too.
    if not set("%\\&") & set(secret):
        assert Redaction([secret]).is_told_by(f"before {mixed} behind".encode())


@given(text=st.text(max_size=200))
def test_what_holds_no_secret_is_left_alone(text: str) -> None:
    redaction = Redaction(["a secret that no text above can hold by chance"])
    assert not redaction.is_told_by(text.encode())
    assert redaction.masked(text.encode()) == text.encode()


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("key=s3cr", True),
        ("key%3Ds3cr&", True),
        ('"\\u00733cr"', True),
        ("a massive s3cret", False),
        ("s3crs3cr", False),
    ],
)
def test_a_short_secret_is_found_as_a_word(text: str, tells: bool) -> None:
    """Within a longer word it is chance."""
    assert Redaction(["s3cr"]).is_told_by(text.encode()) == tells


# --- what is a secret of an upstream ---


@pytest.mark.parametrize(
    ("credential", "headers", "secrets"),
    [
        (Credential("Bearer sk-up-0123456789"), (), {"sk-up-0123456789"}),
        (Credential("Bearer up"), (), {"Bearer up", "up"}),
        (Credential("Own 0123456789 key"), (), {"Own 0123456789 key"}),
        (Credential("plain-key"), (), {"plain-key"}),
        (Credential("plain-key", query="key"), (), {"plain-key"}),
        (
            Credential(f"Basic {in_base64('user:pa55word')}"),
            (),
            {in_base64("user:pa55word"), "user:pa55word", "pa55word"},
        ),
        (Credential(f"Basic {in_base64('key_abc:')}"), (), {"key_abc", "key_abc:"}),
        (Credential('Token token="0123456789", alg="x"'), (), {"0123456789"}),
        (None, (("X-Api-Key", "other-key"), ("Cookie", "a=b; sid=0123456789")), {"other-key", "0123456789"}),
        (None, (("X-Acme", "0123456789abcdef"),), {"0123456789abcdef"}),
        (None, (("Accept", "application/json"), ("anthropic-version", "2023-06-01")), set()),
    ],
)
def test_whatever_authenticates_is_a_secret(
    credential: Credential | None, headers: tuple[tuple[str, str], ...], secrets: set[str]
) -> None:
    """With its scheme and without, as it is encoded and decoded; a header by its name, or by its form."""
    found = set(secrets_of(Upstream("up", "https://x", credential, headers)))
    assert found >= secrets
    assert bool(found) == bool(secrets)


# --- what succeeds ---


def pieces_of(text: bytes, size: int) -> list[bytes]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@pytest.mark.parametrize("spelling", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("size", [1, 2, 7, 31, 64, 10_000])
def test_what_an_answer_repeats_of_its_request_is_masked_however_it_is_cut(
    spelling: Spelling, size: int
) -> None:
    """The rest is passed on as it came, all of it, and no longer or shorter."""
    told = spelling(SECRET).encode()
    parts = [b'data: {"key": "', b'"}\n\ndata: {"again": "sk/live', b'"}\n\n', b" sk/li"]
    masking = Redaction([SECRET]).masking()
    assert masking is not None
    passed = [masking.feed(piece) for piece in pieces_of(told.join(parts), size)]
    assert b"".join([*passed, masking.rest()]) == (b"*" * len(told)).join(parts)
    assert masking.rest() == b""


def test_an_event_without_a_secret_passes_as_the_same_bytes() -> None:
    """Nothing is copied and nothing is kept back."""
    masking = Redaction([SECRET]).masking()
    assert masking is not None
    event = b'data: {"choices": []}\n\n'
    assert masking.feed(event) is event


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_success_does_not_tell_the_headers_of_its_request(
    client: HttpUpstreams, streamed: bool
) -> None:
    """An upstream that echoes what it was sent, at once or in a stream."""
    echo = b'data: {"headers": {"Authorization": "Bearer sk-up-0123456789"}}\n\n'
    chunks = b"".join(map(http_chunk, pieces_of(echo, 50)))
    said = STREAM_HEAD + chunks + b"0\r\n\r\n" if streamed else http_answer(echo)
    async with scripted(saying(said)) as upstream:
        target = to(upstream, Credential("Bearer sk-up-0123456789"))
        status, body = await fetched(client, target)
    assert (status, body) == (200, echo.replace(b"sk-up-0123456789", b"*" * 16))


async def test_an_error_is_small(client: HttpUpstreams) -> None:
    """All of it is searched, so that it has a bound of its own."""
    error = http_answer(b"x" * (MAX_ERROR_BYTES + 1), status="500 Internal Server Error")
    async with scripted(answering(error)) as upstream:
        assert (await refused_by(client, to(upstream))).code == "upstream_invalid"
    largest = http_answer(b"x" * MAX_ERROR_BYTES, status="500 Internal Server Error")
    async with scripted(answering(largest)) as upstream:
        assert await fetched(client, to(upstream)) == (500, b"x" * MAX_ERROR_BYTES)
