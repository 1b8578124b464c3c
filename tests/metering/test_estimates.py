"""Estimates are near what the API has reported, and never above the bound of what is estimated."""

import base64
import struct

import pytest

from proxy.metering import estimates, parts
from proxy.metering.estimates import chat_estimate, media_estimate
from proxy.metering.parts import STORED_TOKENS, media_of
from proxy.metering.prompts import chat_bound, media_total
from proxy.metering.tokens import count_text
from proxy.metering.tools import call_tokens
from tests.metering.recorded import ANSWERS, RECORDED, Recorded
from tests.metering.test_documents import pdf


@pytest.mark.parametrize("recorded", RECORDED)
def test_a_prompt_with_tools_is_estimated_within_four_tokens(recorded: Recorded) -> None:
    """Of 31 to 146; with schemas in schemas, and with calls and results in the history."""
    assert abs(chat_estimate(recorded.body, recorded.model) - recorded.tokens) <= 4


def test_most_prompts_with_tools_are_estimated_exactly() -> None:
    off = [abs(chat_estimate(one.body, one.model) - one.tokens) for one in RECORDED]
    assert sum(off) / sum(one.tokens for one in RECORDED) < 0.01
    assert off.count(0) > len(off) / 2


@pytest.mark.parametrize(("model", "calls", "tokens"), ANSWERS)
def test_an_answer_that_calls_tools_is_counted_within_one_token(
    model: str, calls: list[tuple[str, str]], tokens: int
) -> None:
    words = "".join(name + arguments for name, arguments in calls)
    assert abs(count_text(words, model) + call_tokens(len(calls), model) - tokens) <= 1


def data(file: bytes) -> str:
    return base64.b64encode(file).decode()


def wav(seconds: int, rate: int = 32_000) -> bytes:
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, rate // 2, rate, 2, 16)
    return head + struct.pack("<4sI", b"data", rate * seconds) + b"\0" * (rate * seconds)


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\0" * 64
    return "data:image/png;base64," + data(head)


def sound(file: bytes, form: str = "wav") -> dict[str, object]:
    return {"type": "input_audio", "input_audio": {"data": data(file), "format": form}}


def picture(url: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url}}


def document(file: bytes, kind: str = "application/pdf") -> dict[str, object]:
    return {"type": "file", "file": {"file_data": f"data:{kind};base64,{data(file)}"}}


@pytest.mark.parametrize(
    ("part", "model", "tokens"),
    [
        (sound(wav(60)), "gpt-audio", 600),
        (sound(wav(60, rate=8_000)), "gpt-audio", 600),
        (sound(wav(30)), "voxtral-small", 375),
        (sound(wav(10)), "gemini-3-flash", 320),
        (picture(png(512, 512)), "gpt-4o", 255),
        (picture("https://example.com/a.png"), "gpt-4o", 765),
        (picture(png(1_024, 1_024)), "llama-4", 37 * 37),
        (document(pdf(3) + b"\n" * 40_000), "gpt-4o", 192 + 3 * (500 + 765)),
        (document(b"word " * 400, "text/plain"), "gpt-4o", 192 + 500),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, "gpt-4o", 30 * 258),
        ({"type": "audio_url", "audio_url": {"url": "https://example.com/a.mp3"}}, "gpt-4o", 300),
        ({"type": "text", "text": "x"}, "gpt-4o", None),
    ],
)
def test_media_are_estimated_by_size_length_and_pages(
    part: dict[str, object], model: str, tokens: int | None
) -> None:
    """What lies elsewhere is as long and as large as is typical, and far from the bound."""
    found = media_estimate(part, model)
    assert found == (None if tokens is None else pytest.approx(tokens, abs=5))


ODD: list[dict[str, object]] = [
    {"type": kind, **more}
    for kind in parts._READERS
    for more in (
        {},
        {kind: None},
        {kind: {"url": "data:,"}, "file": {"file_data": "JVBERi0!"}},
        {kind: {"url": "data:video/mp4;base64,AAAA", "data": "****", "format": []}},
        {"file_data": "data:application/pdf;base64,JVBERi0xLjcK", "image_url": "data:image/png;base64,?"},
        {"input_audio": {"data": ""}, "source": {"data": "x"}, "detail": "high"},
    )
]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-mini", "gpt-6", "claude-4", "voxtral-mini", "gemini-3"])
def test_no_part_is_estimated_above_its_bound(model: str) -> None:
    """Whatever it holds. Each kind that has a bound has an estimate."""
    assert estimates._READERS.keys() == parts._READERS.keys()
    for part in ODD:
        media, found = media_of(part, model), media_estimate(part, model)
        assert (media is None) == (found is None)
        assert media is None or 0 <= (found or 0) <= media.tokens


def test_a_video_that_nobody_reports_is_not_charged_as_its_ceiling() -> None:
    part = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    body = {"messages": [{"role": "user", "content": [part]}]}
    assert (
        chat_estimate(body, "gpt-4o") < STORED_TOKENS / 4 < chat_bound(100, media_total([[part]], "gpt-4o"))
    )


DEEP: object = {"type": "string"}
for _ in range(100):
    DEEP = {"type": "object", "properties": {"a": DEEP}}


@pytest.mark.parametrize(
    "schema",
    [
        DEEP,
        {"properties": {"a": {"enum": 5}, "b": {"anyOf": [None, {"type": "null"}]}, "c": {"type": []}}},
        {"properties": {"a": {"$ref": ["x"]}, "b": {"const": {"x": 1}}, "c": None}, "required": [[], "a"]},
        {
            "properties": {"a": {"type": "array"}, "b": {"type": [5, "null"]}},
            "$defs": {"x": {}},
            "required": 5,
        },
        {"properties": []},
        [],
    ],
)
def test_odd_schemas_and_messages_are_estimated_and_never_raise(schema: object) -> None:
    tools = [{"function": {"name": "f", "parameters": schema}}, {"type": "custom"}, None, {"function": {}}]
    messages = [{"role": ["x"], "tool_calls": [None, {"function": 5}], "function_call": 5}, None, 5, {}]
    for body in (
        {"tools": tools, "messages": messages},
        {"functions": [None, {"name": "f"}], "messages": "x"},
    ):
        assert chat_estimate(body, "gpt-4o") > 0
