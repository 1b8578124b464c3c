"""Per-call APIs: any bytes in, any bytes out, one request used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import ForwardPlan, Reading
from proxy.endpoints.tools import ToolEndpoint
from tests.endpoints.events import fed

ENDPOINT = ToolEndpoint("search", "/v1/search")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\x00", b'{"model":"x","stream":true}'])
def test_the_body_goes_on_as_it_came(body: bytes) -> None:
    ask = ENDPOINT.read(body)
    assert ask.forward_body(ForwardPlan("other", output_bound=1)) == body
    assert (ask.model, ask.stream, ask.ceiling().choices, ask.ceiling().bound) == ("search", False, 1, None)
    assert ask.ceiling().fixed == ask.ceiling_exact().fixed == {"requests": 1}


@given(st.lists(st.binary(max_size=5)))
def test_the_last_piece_waits_and_nothing_is_lost(chunks: list[bytes]) -> None:
    tally = ENDPOINT.read(b"").tally()
    passed = fed(tally, chunks)
    last = next((chunk for chunk in reversed(chunks) if chunk), b"")
    assert tally.tail("0.01") == last
    assert passed + last == b"".join(chunks)


def test_a_reply_that_ended_is_complete_even_when_empty() -> None:
    tally = ENDPOINT.read(b"").tally(keep_usage=True)
    tally.finish()
    assert tally.complete
    assert not tally.failed
    assert tally.reported() == Reading({"requests": 1})
    assert (tally.output_text(), tally.produced_size, tally.anomalies, tally.pending_bytes) == ("", 0, 0, 0)
    assert tally.tail() == b""


def test_the_path_is_the_same_upstream() -> None:
    assert (ENDPOINT.name, ENDPOINT.path, ENDPOINT.upstream_path) == ("tools", "/v1/search", "/v1/search")
    assert ENDPOINT.meters == ("requests",)
