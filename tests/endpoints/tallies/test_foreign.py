"""Nothing of a shape that nobody knows is free: what reaches a client is counted as text, and marked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading
from proxy.endpoints.openai.embeddings import read_vectors
from proxy.endpoints.tallies.foreign import foreign_text
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from tests.endpoints.events import DONE, cut, delta, event, fed, usage, usage_event

WORDS = "Twelve fares"
BOM = b"\xef\xbb\xbf"
FOREIGN = {
    "Anthropic": event(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}}
    ),
    "Responses": event({"type": "response.output_text.delta", "item_id": "msg_1", "delta": WORDS}),
    "Gemini": event({"candidates": [{"content": {"parts": [{"text": WORDS}], "role": "model"}}]}),
    "TGI": event({"token": {"id": 5, "text": WORDS}, "generated_text": None}),
    "Ollama": event({"model": "m", "response": WORDS, "done": False}),
    "a string": event(WORDS),
    "a list": event([{"text": WORDS}]),
    "plain text": b"data: " + WORDS.encode() + b"\n\n",
    "no event": WORDS.encode() + b"\n\n",
    "no event, CR LF": WORDS.encode() + b"\r\n\r\n",
    "a list that is no event": json.dumps([WORDS]).encode() + b"\n\n",
    "choices that are none": event({"choices": WORDS}),
}


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_stream_of_an_unknown_form_is_counted_as_text_and_marked(name: str, size: int) -> None:
    """It passes as it is; each event of it is an anomaly."""
    stream = FOREIGN[name] * 3
    tally = StreamTally()
    assert fed(tally, cut(stream, range(0, len(stream), size))) == stream
    assert tally.output_text().count(WORDS) == 3
    assert tally.produced_size >= 3 * len(WORDS)
    assert (tally.anomalies, tally.reported(), tally.complete) == (3, None, False)


def test_it_is_complete_with_its_end_and_reported_usage_comes_first() -> None:
    tally = StreamTally()
    fed(tally, [FOREIGN["Anthropic"], usage_event(7, 3), DONE])
    assert tally.complete
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3}, 1)


SIGNS_OF_LIFE = [
    b": keep-alive\n\n",
    b"event: ping\n\n",
    b"id: 7\nretry: 5\n\n",
    b"\n\n",
    event({"type": "ping"}),
    event({"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": [{"x": "y"}]}),
    event({"id": "x", "object": "chat.completion.chunk", "choices": None, "usage": None}),
]


@pytest.mark.parametrize("sign", SIGNS_OF_LIFE)
def test_signs_of_life_are_free(sign: bytes) -> None:
    tally = StreamTally()
    assert fed(tally, [sign, delta("Hi")]) == sign + delta("Hi")
    assert (tally.output_text(), tally.anomalies) == ("Hi", 0)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"output": [{"content": [{"type": "output_text", "text": WORDS}]}]}, WORDS),
        ({"response": WORDS, "model": "m"}, WORDS),
        ({"n": 12}, '{"n": 12}'),
        ({"id": "x", "object": "y"}, ""),
        ({"choices": []}, ""),
    ],
)
def test_a_whole_reply_of_an_unknown_form_is_counted_as_text(body: object, text: str) -> None:
    tally = WholeTally()
    fed(tally, [json.dumps(body).encode()])
    assert tally.complete
    assert (tally.output_text(), tally.produced_size) == (text, len(text))
    assert tally.anomalies == ("choices" not in json.dumps(body))


def test_a_reply_without_output_is_never_text() -> None:
    tally = WholeTally(read=read_vectors, has_output=False)
    fed(tally, [json.dumps({"data": [{"embedding": [1.5]}], "usage": {"prompt_tokens": 7}}).encode()])
    assert (tally.output_text(), tally.anomalies) == ("", 0)


@pytest.mark.parametrize("size", [1, 2, 10_000])
@pytest.mark.parametrize("stream", [True, False])
def test_a_byte_order_mark_hides_nothing(stream: bool, size: int) -> None:
    """It is passed on, and what comes after it is read as ever."""
    message = {"index": 0, "delta" if stream else "message": {"content": "Hi"}, "finish_reason": "stop"}
    reply = {"choices": [message], "usage": usage(7, 3)}
    whole = BOM + (event(reply) + DONE if stream else json.dumps(reply).encode())
    tallies: list[StreamTally | WholeTally] = [StreamTally()] if stream else [WholeTally(), StreamTally()]
    for tally in tallies:
        passed = fed(tally, cut(whole, range(0, len(whole), size)))
        assert tally.complete
        assert (tally.output_text(), tally.anomalies) == ("Hi", 0)
        assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
        assert passed + tally.tail() == whole
    vectors = WholeTally(read=read_vectors, has_output=False, keep_usage=True)
    fed(vectors, [BOM + b'{"usage": {"prompt_tokens": 7}}'])
    assert vectors.reported() == Reading({"input_tokens": 7})
    assert vectors.tail("0.1") == BOM + b'{"usage": {"prompt_tokens": 7,"cost":"0.1"}}'


# No name of a frame can be spelled with these.
NAMES = st.text('xyz\u00e9\u65e5 "\\', max_size=5)
JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
)


@given(JSON)
def test_whatever_it_is_it_has_text_unless_it_is_only_a_frame(value: object) -> None:
    text = foreign_text(json.dumps(value).encode())
    assert bool(text) or (isinstance(value, dict) and not any(value.values()))
