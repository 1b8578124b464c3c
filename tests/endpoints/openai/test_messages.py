"""Messages: what is text is bounded, what is not is bounded by its kind, and what cannot be seen is found."""

import json
from typing import Any

import pytest

from proxy.endpoints.features import hidden_input
from proxy.endpoints.registry import ENDPOINTS
from proxy.errors import Refusal

ENDPOINT = ENDPOINTS["/v1/chat/completions"]
PNG = "data:image/png;base64,iVBORw0KGgo="
PARTS = "messages[].content[]"

SEEN: list[Any] = [
    "text",
    {"type": "text", "text": "see: [1] {2}", "cache_control": {"type": "ephemeral"}},
    {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}},
    {"type": "refusal", "refusal": "no"},
    {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
    {"type": "image_url", "image_url": {"url": "https://host/cat.png"}},
    {"type": "image_url", "image_url": PNG},
    {"type": "input_image", "image_url": PNG, "detail": "low"},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,UklGRg==", "format": "wav"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
    {"type": "file", "file": {"file_data": "JVBERi0" * 40_000, "file_id": None}},
]
HIDDEN: list[Any] = [
    {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "file", "file": {"file_data": "JVBERi0=", "file_id": "file-1"}},
    {"type": "file", "file": {"file_data": "https://host/long.pdf", "filename": "a.pdf"}},
    {"type": "file", "file": {"file_url": "https://host/long.pdf"}},
    {"type": "file", "file": "file-1"},
    {"type": "input_file", "file_id": "file-1"},
    {"type": "input_audio", "input_audio": {"data": "https://host/long.wav", "format": "wav"}},
    {"type": "input_audio", "input_audio": {"id": "audio-1"}},
    {"type": "audio_url", "audio_url": {"url": "https://host/long.mp3"}},
    {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
    {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0="}},
    {"type": "image_url", "image_url": {"url": PNG}, "max_pixels": 10**9},
    {"type": "image_url", "image_url": {"url": PNG, "min_pixels": 10**9}},
    {"type": "document_url", "document_url": "https://host/long.pdf"},
    {"type": "video", "video": ["https://host/1.png"]},
    {"type": "text", "text": "x", "image_url": {"url": PNG}},
    {"image_url": "https://host/cat.png"},
    {"type": ["text"], "text": "x"},
    [{"type": "text", "text": "x"}],
]


def features(*messages: Any) -> tuple[Any, ...]:
    """What messages turn on, beside what they name that the upstream keeps."""
    found = ENDPOINT.read(json.dumps({"model": "m", "messages": messages}).encode()).features
    return tuple(feature for feature in found if not feature.kept)


@pytest.mark.parametrize("part", SEEN, ids=lambda part: json.dumps(part)[:60])
def test_a_part_whose_size_the_body_tells_needs_no_allowance(part: object) -> None:
    assert features({"role": "user", "content": [part, "more"]}) == ()
    assert features({"role": "tool", "content": part}) == ()


@pytest.mark.parametrize("part", HIDDEN, ids=lambda part: json.dumps(part)[:60])
def test_a_part_that_only_refers_to_its_input_needs_an_allowance(part: object) -> None:
    """Each such part counts, whatever is beside it, and wherever it stands."""
    (found,) = features({"role": "user", "content": ["a", part]}, {"role": "tool", "content": [part, part]})
    assert found == hidden_input(PARTS, "messages", 3)


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ({"role": "assistant", "audio": {"id": "audio_1"}}, "messages[].audio"),
        ({"role": "user", "content": "x", "images": ["https://host/cat.png"]}, "messages[]"),
        ({"role": "user", "content": {"type": "video_url"}}, "messages[].content"),
        ([{"role": "user", "content": [{"type": "file"}]}], "messages[]"),
    ],
)
def test_so_does_what_stands_elsewhere_in_a_message(message: object, where: str) -> None:
    (found,) = features(message)
    assert found == hidden_input(where, "messages")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "audio": None, "tool_calls": [{"id": "c", "function": {}}]},
        {"role": "assistant", "content": "x", "reasoning_details": [{"type": "reasoning.text", "text": "x"}]},
        {"role": "user", "content": "{[:{", "id": "1", "name": "n"},
    ],
)
def test_the_texts_of_a_message_need_none(message: object) -> None:
    assert features(message) == ()


TWICE = [
    '{"role":"user","content":[{"type":"text","type":"image_url","text":"x","image_url":{"url":"https://a/b"}}]}',
    '{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/b","detail":"high","detail":"low"}}]}',
    '{"role":"user","content":[{"type":"file","file":{"file_id":"f"},"file":{"file_data":"AAAA"}}]}',
    '{"role":"user","content":[{"type":"file"}],"content":"x"}',
    '{"role":"user","content":[{"type":"file"}],"c\\u006fntent":"x"}',
    '{"role":"user","a\\\\":1,"a\\\\":2,"content":[]}',
]


@pytest.mark.parametrize("message", TWICE)
def test_what_could_be_read_twice_is_refused_at_every_depth(message: str) -> None:
    with pytest.raises(Refusal) as caught:
        ENDPOINT.read(f'{{"model":"m","messages":[{message}]}}'.encode())
    assert (caught.value.code, caught.value.param) == ("invalid_value", "messages")


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": "x", "Content": [{"type": "file"}]}, "messages[].Content"),
        ({"role": "user", "content": [{"type": "text", "TYPE": "file", "text": "x"}]}, f"{PARTS}.TYPE"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG, "Detail": "high"}}]},
            f"{PARTS}.image_url.Detail",
        ),
        ({"role": "user", "content": [{"type": "file", "file": {"File_ID": "f"}}]}, f"{PARTS}.file.File_ID"),
    ],
)
def test_a_name_in_another_case_is_refused_at_every_depth(message: object, param: str) -> None:
    with pytest.raises(Refusal) as caught:
        features(message)
    assert (caught.value.code, caught.value.param) == ("invalid_value", param)
