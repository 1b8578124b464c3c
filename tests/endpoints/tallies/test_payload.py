"""No output that reaches a client is free: whatever member of a reply carries it, it counts."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints.tallies.members import Choice, Message, OddPart, Part
from proxy.endpoints.tallies.part import read_part
from proxy.endpoints.tallies.payload import (
    DATA_BYTES_PER_TOKEN,
    REFERRED_BYTES,
    SOUND_BYTES_PER_TOKEN,
    payload_of,
)
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from tests.endpoints.events import event, usage_event

BYTES = 30_000
ENCODED = base64.b64encode(bytes(range(250)) * (BYTES // 250)).decode()
URL = f"data:image/png;base64,{ENCODED}"
TOKENS = -(-BYTES // DATA_BYTES_PER_TOKEN)
SOUND_TOKENS = -(-BYTES // SOUND_BYTES_PER_TOKEN)
TEXT = "All of this is new. " * 40

DATA: dict[str, Any] = {
    "pictures": {"images": [{"type": "image_url", "index": 0, "image_url": {"url": URL}}]},
    "one picture": {"image": URL},
    "base64 alone": {"b64_json": ENCODED},
    "sound": {"audio": {"id": "a", "data": ENCODED}},
    "sound in place of an object": {"audio": ENCODED},
    "content that is a picture": {"content": [{"type": "image_url", "image_url": {"url": URL}}]},
    "a member nobody knows": {"hologram": {"frames": [{"raw": ENCODED}]}},
    "one with a name that describes": {"detail": {"object": [ENCODED]}},
    "reasoning that is encrypted": {"reasoning_details": [{"type": "reasoning.encrypted", "data": ENCODED}]},
    "numbers": {"samples": [0.5] * TOKENS},
    "in a tool call": {"tool_calls": [{"index": 0, "result": {"data": ENCODED}}]},
}
TEXTS: dict[str, Any] = {
    "thought": {"thought": TEXT},
    "deep": {"steps": [{"type": "step", "parts": [{"text": TEXT}]}]},
    "details": {"reasoning_details": [{"type": "reasoning.text", "text": TEXT}]},
    "a tool's output": {"executed_tools": [{"type": "python", "output": TEXT}]},
    "in a tool call": {"tool_calls": [{"index": 0, "type": "search", "search": {"query": TEXT}}]},
    "in a function": {"tool_calls": [{"function": {"name": None, "thinking": TEXT}}]},
    "beside a sound": {"audio": {"id": "a", "caption": TEXT}},
}


def place(member: dict[str, Any], where: str) -> dict[str, Any]:
    """A reply with a member somewhere in it."""
    match where:
        case "delta" | "message":
            return {"choices": [{"index": 0, where: member}]}
        case "choice":
            return {"choices": [{"index": 0, "delta": {"content": ""}, **member}]}
        case "choices":
            return {"choices": {"0": member}}
        case _:
            return {"choices": [], **member}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("where", ["delta", "message", "choice", "choices", "top"])
def test_data_counts_by_its_size_wherever_it_is(name: str, where: str) -> None:
    """And it is remembered that output came which is no text."""
    tally = StreamTally()
    chunk = event(place(DATA[name], where))
    assert tally.feed(chunk) == chunk
    assert tally.has_data
    least = SOUND_TOKENS if name.startswith("sound") else TOKENS
    produced = tally.produced(0, "gpt-4o")["output_tokens"]
    assert least <= produced <= least * 1.1 + 1
    assert tally.produced_size >= produced
    whole = WholeTally()
    whole.feed(json.dumps(place(DATA[name], where)).encode())
    whole.finish()
    assert (whole.has_data, whole.produced(0, "gpt-4o")["output_tokens"]) == (True, produced)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("where", ["delta", "message"])
def test_text_counts_as_text_in_members_that_nobody_knows(name: str, where: str) -> None:
    tally = StreamTally()
    tally.feed(event(place(TEXTS[name], where)))
    assert TEXT in tally.output_text()
    assert not tally.has_data


@pytest.mark.parametrize("known", [*Message.__struct_fields__, "foo"])
def test_what_is_text_beside_data_is_text(known: str) -> None:
    """A member counts whatever else its event has."""
    tally = StreamTally()
    tally.feed(event({"choices": [{"delta": {known: "x", "images": [URL], "content": "Here"}}]}))
    assert "Here" in tally.output_text()
    assert tally.produced(0, "gpt-4o")["output_tokens"] >= TOKENS


def test_sound_is_a_part_of_the_output_of_its_own() -> None:
    """So that a rate for sound applies to it."""
    tally = StreamTally()
    tally.feed(event({"choices": [{"delta": {"audio": {"data": ENCODED, "transcript": "Oh"}}}]}))
    assert tally.produced(1, "gpt-4o") == {
        "output_tokens": SOUND_TOKENS + 1,
        "output_audio_tokens": SOUND_TOKENS,
    }
    assert tally.output_text() == "Oh"


def test_pieces_of_data_are_added_up_before_they_are_rounded() -> None:
    tally = StreamTally()
    for at in range(0, len(ENCODED), 40):
        tally.feed(event({"choices": [{"delta": {"audio": {"data": ENCODED[at : at + 40]}}}]}))
    assert tally.produced(0, "gpt-4o")["output_tokens"] == tally.produced_size == SOUND_TOKENS


def test_the_size_grows_by_as_much_as_the_tokens() -> None:
    """A budget relies on that."""
    tally = StreamTally()
    for _ in range(5):
        before = tally.produced_size, tally.produced(0, "gpt-4o")["output_tokens"]
        tally.feed(event(place(DATA["pictures"], "delta")))
        assert tally.produced_size - before[0] >= tally.produced(0, "gpt-4o")["output_tokens"] - before[1]


def test_what_is_somewhere_else_counts_as_a_large_one() -> None:
    tally = StreamTally()
    url = "https://files.example.com/a.png"
    tally.feed(event({"choices": [{"delta": {"images": [{"image_url": {"url": url}}]}}]}))
    tokens = REFERRED_BYTES // DATA_BYTES_PER_TOKEN
    assert tally.produced(0, "gpt-4o") == {"output_tokens": tokens, "output_image_tokens": tokens}


@pytest.mark.parametrize(
    "reply",
    [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}}]},
        {"choices": [{"delta": {"reasoning": "hm", "reasoning_details": [{"type": "t", "text": "hm"}]}}]},
        {"choices": [{"delta": {"content": "hm"}, "text": "hm"}], "id": "x"},
        {"choices": [{"delta": {"content": "hm"}, "logprobs": {"content": [{"token": "hm", "bytes": [1]}]}}]},
        {"choices": [{"delta": {"content": "hm"}, "token_ids": [7]}], "prompt_token_ids": [1, 2]},
        {"choices": [{"delta": {"content": "hm"}}], "obfuscation": "x" * 600, "metadata": {"a": "b" * 600}},
        {
            "choices": [],
            "citations": ["https://example.com/a"],
            "new": "metadata of a whole reply",
            "n": [{}],
        },
    ],
)
def test_what_describes_or_repeats_is_no_output(reply: dict[str, Any]) -> None:
    tally = StreamTally()
    tally.feed(event(reply))
    assert tally.output_text() in ("", "hm")
    assert tally.produced_size == len(tally.output_text())
    assert not tally.has_data


@pytest.mark.parametrize(
    "reply",
    [
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "system_fingerprint": None,
        },
        {
            "service_tier": "default",
            "usage": None,
            "obfuscation": "ab",
            "provider": "p",
            "x_groq": {"id": "r"},
        },
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}]},
        {
            "choices": [
                {"delta": {"content": "a", "reasoning": None, "reasoning_details": []}, "logprobs": None}
            ]
        },
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {}}]}}
            ]
        },
        {
            "choices": [
                {"text": "a", "index": 0, "logprobs": None, "finish_reason": None, "stop_reason": None}
            ]
        },
        {"choices": [{"index": 0, "delta": {"reasoning": "Hm", "channel": "analysis"}}]},
        {"choices": [], "moderation": {"input": {"category_scores": {"hate": 0.5}}}, "usage": None},
        {
            "choices": [
                {
                    "delta": {
                        "content": "a",
                        "extra_content": {"google": {"thought": True}},
                        "provider_metadata": {"gateway": {"planningReasoning": "not this"}},
                        "provider_specific_fields": {"stop_sequence": None},
                        "tool_calls": [
                            {"function": {}, "extra_content": {"google": {"thought_signature": "QUJD"}}}
                        ],
                    }
                }
            ]
        },
    ],
)
def test_a_usual_event_is_read_the_quick_way(reply: dict[str, Any]) -> None:
    """The members that upstreams send with every event are in the tables."""
    part = read_part(json.dumps(reply).encode())
    assert isinstance(part, Part)
    assert not isinstance(part, OddPart)


def test_reported_usage_comes_before_what_data_counts_as() -> None:
    tally = StreamTally()
    tally.feed(event(place(DATA["pictures"], "delta")) + usage_event(7, 1_290))
    reading = tally.reported()
    assert reading is not None
    assert reading.usage == {"input_tokens": 7, "output_tokens": 1_290}


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("xyz", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = sorted({*Message.__struct_fields__, *Choice.__struct_fields__, "images", "x"})


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), st.text(min_size=1, max_size=9))
def test_whatever_else_an_event_holds_its_text_counts(members: dict[str, Any], content: str) -> None:
    """And reading it never fails."""
    tally = StreamTally()
    reply = {"choices": [{**members, "index": 0, "delta": {**members, "content": content}}]}
    tally.feed(b"data: " + json.dumps(reply).encode() + b"\n\n")
    assert content.encode("utf-8", "replace").decode() in tally.output_text()


@given(JSON)
def test_every_text_in_a_member_is_found(value: Any) -> None:
    """Of what is no data, each piece of text is there once, in its order."""

    def texts(inner: Any) -> list[str]:
        if isinstance(inner, str):
            return [inner] if inner and not inner.lower().startswith("data:") else []
        if isinstance(inner, dict):
            return [text for member in inner.values() for text in texts(member)]
        return [text for item in inner for text in texts(item)] if isinstance(inner, list) else []

    assert list(payload_of([("x", value)]).texts) == texts(value)


@pytest.mark.parametrize("choices", [["Hello"], [{"index": 0, "delta": {"content": "Hello"}}], "Hello"])
def test_a_usage_with_output_beside_it_is_for_the_client(choices: object) -> None:
    """Only an event that holds nothing else is left out, where a client did not ask for it."""
    told = event({"choices": choices, "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
    tally = StreamTally(swallow_usage=True)
    assert tally.feed(told) == told
    assert tally.feed(usage_event()) == b""
