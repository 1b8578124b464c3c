import base64

import pytest

from proxy.metering.parts import FILE_FRAMING_TOKENS, FILE_TEXT_TOKENS_MAX, STORED_TOKENS, Media, media_of

SOUND = base64.b64encode(b"\0" * 48_000).decode()


@pytest.mark.parametrize(
    ("form", "tokens"),
    [("wav", 301), ("mp3", 481), ("opus", 961), (None, 961), (["wav"], 961)],
)
def test_sound_is_bounded_by_the_fewest_bytes_a_second_of_its_format_takes(form: object, tokens: int) -> None:
    part = {"type": "input_audio", "input_audio": {"data": SOUND, "format": form}}
    assert media_of(part, "gpt-audio") == Media(tokens, len(SOUND))


def test_a_call_in_telephone_quality_stays_below_the_bound() -> None:
    """Sound is ten tokens a second; a telephone's is 8,000 bytes a second."""
    seconds = 36
    data = base64.b64encode(b"\0" * 8_000 * seconds).decode()
    media = media_of({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}, "gpt-audio")
    assert media is not None
    assert media.tokens >= 10 * seconds


def test_a_file_in_the_request_is_bounded_by_its_bytes() -> None:
    text = base64.b64encode(b"x" * 900).decode()
    for data in (text, "data:text/plain;base64," + text):
        media = media_of({"type": "file", "file": {"file_data": data, "filename": "a.txt"}}, "gpt-4o")
        assert media is not None
        assert FILE_FRAMING_TOKENS + 900 <= media.tokens <= FILE_FRAMING_TOKENS + 920
        assert media.payload_chars == len(data)


def test_a_file_in_a_plain_data_url_is_bounded_by_its_bytes_of_utf8() -> None:
    data = "data:text/plain," + "日" * 300
    media = media_of({"type": "input_file", "file_data": data}, "gpt-4o")
    assert media is not None
    assert media.tokens >= 900


def test_each_page_of_a_pdf_is_an_image_too() -> None:
    def tokens(head: bytes, size_bytes: int) -> int:
        data = "data:application/pdf;base64," + base64.b64encode(head.ljust(size_bytes, b"x")).decode()
        media = media_of({"type": "file", "file": {"file_data": data}}, "gpt-4o")
        assert media is not None
        return media.tokens

    page_image = 1_445
    assert tokens(b"%PDF-1.7", 900) == tokens(b"no pdf", 900) + page_image
    assert tokens(b"%PDF-1.7", 40_000) == tokens(b"no pdf", 40_000) + 3 * page_image
    most = FILE_FRAMING_TOKENS + FILE_TEXT_TOKENS_MAX + 100 * page_image
    assert tokens(b"%PDF-1.7", 5_000_000) == most


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file"},
        {"type": "file", "file": 5},
        {"type": "input_file", "file_url": "https://example.com/a.pdf"},
        {"type": "audio_url", "audio_url": {"url": "https://example.com/a.mp3"}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
    ],
)
def test_what_lies_elsewhere_gets_an_allowance(part: dict[str, object]) -> None:
    assert media_of(part, "gpt-4o") == Media(STORED_TOKENS, 0)


def test_an_image_tells_how_much_of_the_request_its_file_is() -> None:
    url = "data:image/png;base64," + "A" * 4_000
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    assert media_of(part, "gpt-4o") == Media(85, len(url))
    part = {"type": "image_url", "image_url": {"url": "https://example.com/" + "a" * 500, "detail": "low"}}
    assert media_of(part, "gpt-4o") == Media(85, 0)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "x"},
        {"type": "new_kind", "new_kind": {}},
        {"type": ["image_url"]},
        {"type": None},
        {},
        "text",
        None,
        5,
        {"type": "input_audio"},
        {"type": "input_audio", "input_audio": {"data": 5}},
    ],
)
def test_text_and_unknown_parts_are_no_media(part: object) -> None:
    assert media_of(part, "gpt-4o") is None
