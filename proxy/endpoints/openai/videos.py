"""POST /v1/videos, and what is made of a video: jobs whose price is the seconds that were asked for."""

import re
from typing import Annotated, Final

import msgspec

from proxy.endpoints.base import ForwardPlan, Headers
from proxy.endpoints.features import Feature
from proxy.endpoints.members import refuse_other_cases
from proxy.endpoints.objects import ObjectKind, ObjectRoute, Source
from proxy.endpoints.openai.members import DERIVED_VIDEO, VIDEO
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, Members, members_of, read_body
from proxy.endpoints.reading.form import FormBody, FormFile, Kind, Kinds, read_form
from proxy.endpoints.tallies.sighted import JsonTally, Sighting, State
from proxy.errors import Refusal
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import Usage

SECONDS_MAX: Final = 3_600
SECONDS: Final = 4
SIZE: Final = "720x1280"
"""What a video has that says no length or size. The upstream is told so, whatever its own defaults are."""
PARAMETERS: Final = ("seconds", "size")
"""What a price may depend on."""
SEEN_BYTES_MAX: Final = 262_144
MEMBER_BYTES_MAX: Final = 512
_KEPT: Final = (
    *("id", "object", "status", "model", "created_at", "completed_at", "expires_at", "progress"),
    *("seconds", "size", "error", "remixed_from_video_id"),
)
"""What is kept of a video for lists: not its prompt, nor anything long."""
_STATES: Final[dict[str, State]] = {
    **dict.fromkeys(("completed", "succeeded"), "complete"),
    **dict.fromkeys(("failed", "cancelled", "canceled", "expired"), "failed"),
}
"""How far a video is, by its status; any other status is one of a job that runs."""

_SECONDS_WANTED: Final = f'a whole number from 1 to {SECONDS_MAX}, such as "8"'
_WHOLE: Final = re.compile(r"[1-9][0-9]{0,3}")
_SIZE: Final = re.compile(r"[A-Za-z0-9x_:.-]{1,32}")
_FORM: Final = "multipart/form-data"
_VIDEO: Final = msgspec.json.Decoder(Members)
_OF_A_FORM: Final = b'"input_reference['


class VideoAsk(msgspec.Struct, frozen=True):
    """One request for a video of so many `seconds`. `told` are the members that go up in place of others."""

    body: JsonBody
    form: FormBody | None
    model: str
    seconds: int
    size: str
    features: tuple[Feature, ...]
    told: dict[str, str] = {}
    names_model: bool = True
    stream: bool = False
    end_user: str = ""
    labels: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """What a price may depend on, by the names in `PARAMETERS`."""
        return {"seconds": str(self.seconds), "size": self.size}

    def ceiling(self) -> Ceiling:
        """The seconds."""
        return Ceiling({"video_seconds": self.seconds})

    def ceiling_exact(self) -> Ceiling:
        """The seconds."""
        return self.ceiling()

    def estimate(self, model: str) -> Usage:  # noqa: ARG002 - a second is one with every model.
        """The seconds: no answer reports them, and that of an extension has those of the video before."""
        return {"video_seconds": self.seconds}

    def input_text_length(self) -> int:
        """Nothing is counted."""
        return 0

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name, and with what it left to a default."""
        changes = dict(self.told)
        if self.names_model and plan.model != self.model:
            changes["model"] = plan.model
        if self.form is not None:
            return self.form.patched(changes)
        return self.body.patched({name: msgspec.json.encode(text) for name, text in changes.items()})

    def tally(self, *, keep_usage: bool = False) -> JsonTally:  # noqa: ARG002 - it has no usage.
        """A fresh tally."""
        return JsonTally(read_video)


class VideosCall(msgspec.Struct, frozen=True, kw_only=True):
    """A video as OpenAI's API makes it, of a JSON body."""

    model: str
    prompt: str
    seconds: Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,3}$")] = str(SECONDS)
    size: str = SIZE
    input_reference: dict[str, str] | None = None


class VideoForm(VideosCall, frozen=True, kw_only=True):
    """The same of a form: what it begins with is a file."""

    input_reference: FormFile | None = None  # type: ignore[assignment]


class VideoEndpoint:
    """Videos."""

    name = "videos"
    path = "/v1/videos"
    upstream_path = "/videos"
    meters = ("video_seconds",)
    repeatable = False
    summary = "A video: a job that is held for at once, and charged when it is complete."
    request = VideosCall
    streams = False

    def read(self, body: bytes, headers: Headers = ()) -> VideoAsk:
        """Read a request for a video. Raises Refusal `invalid_json` or `invalid_value`."""
        request, form = _read(body, headers)
        model = fields.model_of(request)
        fields.require(request, "prompt", (b'"',), "a string")
        features = VIDEO.features(request)
        told: dict[str, str] = {}
        seconds, size = _seconds(request, form), _size(request)
        if seconds is None:
            seconds, told["seconds"] = SECONDS, str(SECONDS)
        if not size:
            size = told["size"] = SIZE
        user = fields.end_user(request)
        return VideoAsk(request, form, model, seconds, size, features, told, end_user=user)


class VideoDerivation:
    """A video that is made from another one. `extends`: its length is what is asked for."""

    def __init__(
        self, name: str, path: str, upstream_path: str, summary: str, *, extends: bool = False
    ) -> None:
        self.name = name
        self.path = path
        self.upstream_path = upstream_path
        self.summary = summary
        self._extends = extends
        self._in_body = "{id}" not in path

    def source_id(self, body: bytes, headers: Headers) -> str:
        """The id in `video`. Raises Refusal `invalid_value`."""
        return _source_id(_read(body, headers)[0])

    def read(self, body: bytes, headers: Headers, source: Source) -> VideoAsk:
        """Read the request. Raises Refusal `invalid_json` or `invalid_value`."""
        request, form = _read(body, headers)
        fields.require(request, "prompt", (b'"',), "a string")
        unknown = {"video"} if not self._in_body else set()
        unknown |= set() if self._extends else {"seconds"}
        for name in unknown & request.members.keys():
            raise Refusal("invalid_value", f"`{name}` is not taken here.", param=name)
        features = DERIVED_VIDEO.features(request)
        if self._in_body and form is None:
            request.put("video", msgspec.json.encode({"id": _source_id(request)}))
        seen = _seen(source)
        seconds = _seconds(request, form) if self._extends else _number(seen.seconds)
        if seconds is None:
            about = "seconds" if self._extends else "video"
            raise Refusal("invalid_value", "It is not known how long the video is to be.", param=about)
        user = fields.end_user(request)
        size = seen.size if isinstance(seen.size, str) else ""
        return VideoAsk(
            request, form, source.model, seconds, size, features, names_model=False, end_user=user
        )


class _Seen(msgspec.Struct, frozen=True):
    """What is known of a video that another is made from."""

    seconds: str | int | None = None
    size: str | None = None


def _seen(source: Source) -> _Seen:
    try:
        return msgspec.json.decode(source.seen, type=_Seen)
    except msgspec.DecodeError:
        return _Seen()


def read_video(data: bytes) -> Sighting | None:
    """What the JSON of a video says; None for anything else."""
    if len(data) > SEEN_BYTES_MAX:
        return None
    try:
        video = _VIDEO.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    id_, status = (_text(video, name) for name in ("id", "status"))
    if id_ is None or status is None:
        return None
    kept = {
        name: video[name]
        for name in _KEPT
        if name in video and len(memoryview(video[name])) <= MEMBER_BYTES_MAX
    }
    return Sighting(id_, _STATES.get(status, "running"), msgspec.json.encode(kept).decode())


def _text(members: Members, name: str) -> str | None:
    raw = members.get(name)
    return None if raw is None else fields.text_of(raw)


def _read(body: bytes, headers: Headers) -> tuple[JsonBody, FormBody | None]:
    """The members of a body, and the form that it is if it is one."""
    if not any(
        name.lower() == "content-type" and value.lstrip().lower().startswith(_FORM) for name, value in headers
    ):
        return read_body(body), None
    reference: Kind = "object" if _OF_A_FORM in body else "file"
    kinds: Kinds = {"input_reference": reference, "video": "object"}
    form = read_form(body, headers, kinds)
    return form.members, form


def _seconds(request: JsonBody, form: FormBody | None) -> int | None:
    """The seconds that are asked for, however they are written; None where that is left to a default."""
    raw = request.members.get("seconds")
    if raw is None or bytes(memoryview(raw)[:8]) == b"null":
        return None
    text = fields.text_of(raw)
    if text is None and form is None:
        return fields.whole(request, "seconds", SECONDS_MAX, least=1)
    seconds = _number(text)
    if seconds is None or seconds > SECONDS_MAX:
        raise fields.wrong(request, "seconds", _SECONDS_WANTED)
    return seconds


def _number(value: str | int | None) -> int | None:
    text = str(value)
    return int(text) if _WHOLE.fullmatch(text) else None


def _size(request: JsonBody) -> str:
    raw = request.members.get("size")
    if raw is None or bytes(memoryview(raw)[:8]) == b"null":
        return ""
    size = fields.text_of(raw)
    if size is None or not _SIZE.fullmatch(size):
        raise fields.wrong(request, "size", 'a size such as "1280x720"')
    return size


def _source_id(request: JsonBody) -> str:
    raw = request.members.get("video")
    members = members_of(raw) if raw is not None else None
    if members is not None:
        refuse_other_cases(members, {"id"}, "video")
    id_ = _text(members, "id") if members is not None and members.keys() == {"id"} else None
    if id_ is None:
        raise fields.wrong(request, "video", "an object with the `id` of a video, and nothing else")
    return id_


VIDEOS: Final = ObjectKind(
    name="video",
    endpoint="videos",
    path="/v1/videos",
    upstream_path="/videos",
    meters=VideoEndpoint.meters,
    read=read_video,
    routes=(
        ObjectRoute("retrieve", "GET", "One video, and how far it is: free."),
        ObjectRoute("content", "GET", "What a video shows, or its thumbnail: free.", "/content", "content"),
        ObjectRoute("delete", "DELETE", "Delete a video: free.", tells="deletion"),
    ),
    derivations=(
        VideoDerivation(
            "remix", "/v1/videos/{id}/remix", "/videos/{id}/remix", "A video like another one, and as long."
        ),
        VideoDerivation("edits", "/v1/videos/edits", "/videos/edits", "A video edited, as long as it was."),
        VideoDerivation(
            "extensions",
            "/v1/videos/extensions",
            "/videos/extensions",
            "A video that goes on: the seconds that are added are charged.",
            extends=True,
        ),
    ),
    is_listed=True,
)
