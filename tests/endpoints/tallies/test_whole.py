"""A whole body waits for its charge; its usage, its text and its errors are read when it is there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.produced import Echo
from proxy.endpoints.tallies.whole import WholeTally
from proxy.errors import Refusal
from tests.endpoints.events import cut, fed, usage


def chat(content: object = "Hi", **more: object) -> bytes:
    message = {"role": "assistant", "content": content}
    reply = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage(7, 3)}
    return json.dumps({**reply, **more}).encode()


def test_nothing_passes_before_the_tail() -> None:
    tally = WholeTally()
    body = chat()
    assert fed(tally, [body[:10], b"", body[10:]]) == b""
    assert (tally.output_text(), tally.produced_size) == ("", 0)
    assert tally.complete
    assert not tally.failed
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert (tally.output_text(), tally.produced_size) == ("Hi", 2)
    assert tally.tail() == body


@given(st.lists(st.integers(0, 1_000), max_size=8))
def test_nothing_depends_on_where_chunks_end(places: list[int]) -> None:
    tally = WholeTally()
    fed(tally, cut(chat("Grüße"), places))
    assert tally.complete
    assert tally.output_text() == "Grüße"
    assert tally.tail() == chat("Grüße")


def test_blank_lines_may_come_first() -> None:
    tally = WholeTally()
    fed(tally, [b"\n", b"\n\r\n", chat()])
    assert tally.complete
    assert tally.tail() == b"\n\n\r\n" + chat()


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "overloaded", "code": 502}},
        {"object": "error", "message": "out of memory"},
        {"choices": [{"message": {"content": ""}, "finish_reason": "error"}]},
    ],
)
def test_an_error_in_a_successful_reply_is_no_success(error: dict[str, object]) -> None:
    tally = WholeTally()
    fed(tally, [json.dumps(error).encode()])
    assert tally.failed
    assert not tally.complete


@pytest.mark.parametrize("body", [b"", b"\n\n", b"<html>", b"[]", b'"x"', chat()[:-1], chat() + b"}"])
def test_what_is_no_json_object_is_neither_complete_nor_an_error(body: bytes) -> None:
    tally = WholeTally()
    fed(tally, [body])
    assert not tally.complete
    assert not tally.failed
    assert tally.reported() is None
    assert tally.tail() == body


def test_a_reply_that_is_asked_about_too_early_is_read_again() -> None:
    tally = WholeTally()
    body = chat()
    tally.feed(body[:20])
    early = tally.complete
    tally.feed(body[20:])
    assert (early, tally.complete) == (False, True)
    assert tally.tail() == body


def test_all_choices_and_kinds_of_text_count() -> None:
    reply = {
        "choices": [
            {
                "index": 0,
                "message": {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
            },
            {"index": 1, "message": {"content": "b", "reasoning": "r"}},
            {"index": 2, "text": "c"},
            {"index": 3},
        ]
    }
    tally = WholeTally()
    fed(tally, [json.dumps(reply).encode()])
    tally.finish()
    assert tally.output_text() == "f{}brc"


@pytest.mark.parametrize("content", ['"\\ud83d"', '[{"type":"text","text":"x"}]'])
def test_an_odd_reply_still_reports_its_usage(content: str) -> None:
    tally = WholeTally()
    fed(tally, [chat("MARK").replace(b'"MARK"', content.encode())])
    assert tally.complete
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert tally.produced_size > 0


def test_figures_that_had_to_be_corrected_are_anomalies() -> None:
    tally = WholeTally()
    fed(tally, [chat(usage={**usage(7, 3), "total_tokens": -1}, x_groq={"usage": usage(8, 3)})])
    assert tally.reported() == Reading({"input_tokens": 8, "output_tokens": 3}, 1)
    assert tally.anomalies == 1


def test_an_echo_of_the_prompt_is_no_output() -> None:
    tally = WholeTally(echo=Echo((b"Once",)))
    fed(tally, [json.dumps({"choices": [{"index": 0, "text": "Once more"}]}).encode()])
    tally.finish()
    assert (tally.output_text(), tally.produced_size) == (" more", 5)


def test_a_reply_may_be_as_large_as_the_limit_and_no_larger() -> None:
    tally = WholeTally(limit_bytes=100)
    tally.feed(b"x" * 100)
    assert tally.pending_bytes == 100
    with pytest.raises(Refusal, match="larger than 100 bytes") as refused:
        tally.feed(b"x")
    assert refused.value.code == "upstream_invalid"


def test_an_answer_of_images_is_read_without_walking_them() -> None:
    url = "data:image/png;base64," + "iVBORw0K" * 1_000_000
    body = chat("Here", images=[{"image_url": {"url": url}}])
    tally = WholeTally()
    fed(tally, cut(body, range(0, len(body), 65_536)))
    assert tally.reported() == Reading({"input_tokens": 7, "output_tokens": 3})
    assert tally.output_text() == "Here"
    assert tally.tail() == body
