"""Videos: the seconds asked for are bounded and charged, however they are written, in JSON and in forms."""

import json
from typing import Any

import pytest

from proxy.endpoints.base import ForwardPlan
from proxy.endpoints.features import ObjectName
from proxy.endpoints.objects import ObjectPaths, Source
from proxy.endpoints.openai.videos import SECONDS_MAX, VIDEOS, VideoAsk, VideoEndpoint, read_video
from proxy.endpoints.tallies.sighted import JsonTally, Sighting, is_id
from proxy.errors import Refusal

AS_IS = ForwardPlan("sora-2")
LEAST: dict[str, Any] = {"model": "sora-2", "prompt": "A cat"}
BOUNDARY = "----farebox"
FORM = (("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),)


def read(**members: Any) -> VideoAsk:
    return VideoEndpoint().read(json.dumps(LEAST | members).encode())


def form(fields: dict[str, str], files: dict[str, bytes] | None = None) -> bytes:
    """The body of a form."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode()
        for name, text in fields.items()
    ]
    kind = 'filename="a.png"\r\nContent-Type: image/png'
    parts += [
        f'Content-Disposition: form-data; name="{name}"; {kind}\r\n\r\n'.encode() + data
        for name, data in (files or {}).items()
    ]
    mark = f"--{BOUNDARY}\r\n".encode()
    return b"".join(mark + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("written", "seconds"), [("4", 4), ("12", 12), (8, 8), (8.0, 8), ("3600", 3600), (None, 4)]
)
def test_the_seconds_that_are_asked_for_are_held(written: object, seconds: int) -> None:
    ask = read(seconds=written)
    assert ask.ceiling().usage == ask.estimate("m") == {"video_seconds": seconds}
    assert ask.ceiling_exact() == ask.ceiling()
    assert ask.parameters["seconds"] == str(seconds)


@pytest.mark.parametrize(
    "written", ["0", "-4", "08", "8.5", "1e2", " 8", "", "x", 0, -1, 8.5, 10_000, "9999", [], {}, True]
)
def test_seconds_that_two_could_read_differently_are_refused(written: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(seconds=written)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "seconds")


def test_a_length_or_size_that_is_not_named_goes_up_as_what_is_charged() -> None:
    """The upstream cannot have another default then."""
    told = {**LEAST, "seconds": "4", "size": "720x1280"}
    assert json.loads(read().forward_body(AS_IS)) == told
    assert json.loads(read(seconds=None, size=None).forward_body(AS_IS)) == told
    assert read().parameters == {"seconds": "4", "size": "720x1280"}


def test_all_else_goes_up_as_it_came_but_for_the_models_name() -> None:
    body = b'{"seconds": "8", "size": "1280x720", "model":"sora-2","prompt" : "\\u00e9"}'
    ask = VideoEndpoint().read(body)
    assert json.loads(ask.forward_body(AS_IS)) == json.loads(body)
    assert b'"\\u00e9"' in ask.forward_body(ForwardPlan("other"))
    assert json.loads(ask.forward_body(ForwardPlan("other")))["model"] == "other"


@pytest.mark.parametrize("size", [7, "", "1 x 2", "x" * 33, ["1280x720"]])
def test_a_size_is_a_short_name(size: object) -> None:
    with pytest.raises(Refusal) as caught:
        read(size=size)
    assert caught.value.param == "size"
    assert read(size="1280x720").parameters["size"] == "1280x720"


@pytest.mark.parametrize("missing", ["model", "prompt"])
def test_model_and_prompt_have_to_be_there(missing: str) -> None:
    with pytest.raises(Refusal) as caught:
        read(**{missing: None})
    assert caught.value.param == missing


def test_a_file_by_its_id_is_an_object_of_the_account() -> None:
    (found,) = read(input_reference={"file_id": "file_1"}).features
    assert (found.refers, found.member) == (ObjectName("file", "file_1"), "input_reference.file_id")
    assert read(input_reference={"image_url": "https://host/a.png"}).features == ()


@pytest.mark.parametrize(
    "reference",
    [
        '{"file_id":"a","image_url":"b"}',
        '{"file_id":7}',
        '{"File_id":"a"}',
        '{"other":"a"}',
        "{}",
        '"file_1"',
        "[]",
    ],
)
def test_a_reference_that_two_could_read_differently_is_refused(reference: str) -> None:
    body = f'{{"model":"m","prompt":"x","input_reference":{reference}}}'.encode()
    with pytest.raises(Refusal) as caught:
        VideoEndpoint().read(body)
    assert caught.value.code == "invalid_value"


def test_of_two_ids_the_one_that_was_looked_up_goes_up() -> None:
    body = b'{"model":"m","prompt":"x","seconds":"4","input_reference":{"file_id":"a","file_id":"b"}}'
    ask = VideoEndpoint().read(body)
    assert ask.features[0].refers == ObjectName("file", "b")
    assert b'"a"' not in ask.forward_body(AS_IS)
    edit = VIDEOS.derivations[1]
    twice = b'{"prompt":"x","video":{"id":"a","id":"b"}}'
    assert edit.source_id(twice, ()) == "b"
    ask_edit = edit.read(twice, (), Source("b", "m", '{"seconds":"8"}'))
    assert json.loads(ask_edit.forward_body(AS_IS)) == {"prompt": "x", "video": {"id": "b"}}
    assert b'"a"' not in ask_edit.forward_body(AS_IS)


def test_a_form_is_read_as_json_is() -> None:
    """As the SDK sends it, with a picture or without; its bytes go up as they came."""
    fields = {"model": "sora-2", "prompt": "A cat", "seconds": "8", "size": "1280x720"}
    data = form(fields, {"input_reference": b"\x89PNG"})
    ask = VideoEndpoint().read(data, FORM)
    assert (ask.model, ask.seconds, ask.size) == ("sora-2", 8, "1280x720")
    assert ask.forward_body(AS_IS) == data
    renamed = VideoEndpoint().read(ask.forward_body(ForwardPlan("other")), FORM)
    assert (renamed.model, renamed.seconds) == ("other", 8)
    plain = VideoEndpoint().read(form(LEAST), FORM)
    assert VideoEndpoint().read(plain.forward_body(AS_IS), FORM).seconds == plain.seconds == 4


@pytest.mark.parametrize(
    "fields", [{"seconds": "08"}, {"seconds": "8\n"}, {"frobnicate": "1"}, {"Seconds": "8"}]
)
def test_a_form_is_refused_for_what_json_is_refused_for(fields: dict[str, str]) -> None:
    try:
        ask = VideoEndpoint().read(form(LEAST | fields), FORM)
    except Refusal as refusal:
        assert refusal.code == "invalid_value"  # noqa: PT017 - some are found to be unpriced features instead.
    else:
        assert [feature.known for feature in ask.features] == [False]


def test_an_edit_in_a_form_names_its_video() -> None:
    edit = VIDEOS.derivations[1]
    data = form({"prompt": "x", "video[id]": "video_1"})
    assert edit.source_id(data, FORM) == "video_1"
    ask = edit.read(data, FORM, Source("video_1", "m", '{"seconds":"8","size":"720x1280"}'))
    assert isinstance(ask, VideoAsk)
    assert (ask.seconds, ask.size, ask.forward_body(AS_IS)) == (8, "720x1280", data)
    with pytest.raises(Refusal):
        edit.source_id(form({"prompt": "x"}, {"video": b"mp4"}), FORM)


@pytest.mark.parametrize("video", [None, "video_1", {}, {"id": 7}, {"id": "a", "x": 1}, {"Id": "a"}, ["a"]])
def test_a_source_is_named_by_its_id_alone(video: object) -> None:
    with pytest.raises(Refusal) as caught:
        VIDEOS.derivations[1].source_id(json.dumps({"prompt": "x", "video": video}).encode(), ())
    assert (caught.value.code, (caught.value.param or "").partition(".")[0]) == ("invalid_value", "video")


@pytest.mark.parametrize(("number", "member"), [(0, "seconds"), (0, "video"), (1, "seconds")])
def test_what_would_change_the_length_of_a_copy_is_refused(number: int, member: str) -> None:
    body: dict[str, Any] = {"prompt": "x", "video": {"id": "a"}} if number else {"prompt": "x"}
    body[member] = "20" if member == "seconds" else {"id": "b"}
    with pytest.raises(Refusal) as caught:
        VIDEOS.derivations[number].read(json.dumps(body).encode(), (), Source("a", "m", '{"seconds":"4"}'))
    assert caught.value.param == member


STATES = [
    ("queued", "running"),
    ("in_progress", "running"),
    ("completed", "complete"),
    ("failed", "failed"),
    ("an unheard-of one", "running"),
]


@pytest.mark.parametrize(("status", "state"), STATES)
def test_a_status_says_how_far_a_video_is(status: str, state: str) -> None:
    """Nothing that is planted in the prompt or an error changes it."""
    planted = '{"status":"completed","id":"other"}'
    data = json.dumps(
        {"prompt": planted, "id": "video_1", "status": status, "error": {"status": "completed"}}
    )
    seen = read_video(data.encode())
    assert seen is not None
    assert (seen.id, seen.state) == ("video_1", state)
    assert planted not in seen.seen


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"id":"a"}', b'{"status":"x"}', b'{"id":1,"status":"x"}', b"\xff"]
)
def test_what_is_no_video_says_nothing(data: bytes) -> None:
    assert read_video(data) is None


def test_what_is_kept_of_a_video_is_small() -> None:
    data = json.dumps(
        {"id": "a", "status": "x", "prompt": "p" * 9_000, "error": {"message": "e" * 9_000}, "size": "s"}
    )
    seen = read_video(data.encode())
    assert seen is not None
    assert seen.seen == '{"id":"a","status":"x","size":"s"}'


@pytest.mark.parametrize("pieces", [1, 2, 7, 40, 200])
def test_how_a_reply_is_cut_does_not_matter(pieces: int) -> None:
    data = json.dumps({"id": "video_1", "status": "completed", "seconds": "8"}).encode()
    step = -(-len(data) // pieces)
    tally = JsonTally(read_video)
    for at in range(0, len(data), step):
        assert tally.feed(data[at : at + step]) == b""
    assert (tally.complete, tally.failed, tally.tail()) == (True, False, data)
    assert tally.sighting == Sighting("video_1", "complete", data.decode().replace(" ", "").replace(",", ","))


def test_an_id_is_a_segment_of_a_path_as_it_is() -> None:
    for good in ("video_1", "a", "a.b", "resp-1:x~y", "x" * 256):
        assert is_id(good)
    for bad in ("", ".", "..", ".a", "a/b", "a%2Fb", "a?b", "a#b", "a b", "é", "x" * 257, "a\n"):
        assert not is_id(bad)


@pytest.mark.parametrize(
    ("method", "path", "id_", "name"),
    [
        ("GET", "/v1/videos/a", "a", "retrieve"),
        ("GET", "/v1/videos/a/content", "a", "content"),
        ("DELETE", "/v1/videos/a", "a", "delete"),
        ("POST", "/v1/videos/a/remix", "a", "remix"),
        ("POST", "/v1/videos/edits", "", "edits"),
        ("POST", "/v1/videos/extensions", "", "extensions"),
        ("GET", "/v1/videos/edits", "edits", "retrieve"),
    ],
)
def test_a_path_is_matched_as_it_came(method: str, path: str, id_: str, name: str) -> None:
    found = ObjectPaths([VIDEOS]).find(method, path)
    assert found is not None
    what = found.route or found.derivation
    assert what is not None
    assert (found.id, what.name) == (id_, name)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/videos/",
        "/v1/videos//content",
        "/v1/videos/a/",
        "/v1/videos/a/b/content",
        "/v1/video/a",
        "/v1/videos/{id}/x",
    ],
)
def test_another_path_is_that_of_no_object(path: str) -> None:
    assert ObjectPaths([VIDEOS]).find("GET", path) is None


def test_no_video_is_longer_than_a_call_can_be_charged_for() -> None:
    assert read(seconds=str(SECONDS_MAX)).seconds == SECONDS_MAX
    with pytest.raises(Refusal):
        read(seconds=str(SECONDS_MAX + 1))
