"""POST /v1/images/generations, /v1/images/edits and /v1/images/variations."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.endpoints.base import Headers
from proxy.endpoints.features import Feature, hidden_input
from proxy.endpoints.openai.images.ask import Drawn, ImageAsk
from proxy.endpoints.openai.images.given import FILES, sizes_in_body, sizes_in_form
from proxy.endpoints.openai.images.members import IMAGE
from proxy.endpoints.openai.images.parameters import GIF, SVG, parameters_of
from proxy.endpoints.openai.stream_options import ChoiceCount
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, read_body
from proxy.endpoints.reading.form import FormBody, FormFile, Kinds, read_form
from proxy.errors import Refusal
from proxy.metering.dimensions import Size

FRAMES_MAX: Final = 64
USUAL_FRAMES: Final = 9
"""How many a GIF has where its request does not say."""
UNFINISHED_MAX: Final = 16
_JSON: Final = frozenset({"", "application/json"})
_FIELDS: Final[Kinds] = {
    **FILES,
    **dict.fromkeys(("n", "partial_images", "frame_count", "frame_duration_ms"), "number"),
    **dict.fromkeys(("output_compression", "seed"), "number"),
    "stream": "flag",
    "svg": "object",
}
"""How the fields of a form are written that are no texts."""


class GenerationCall(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures from a prompt, as OpenAI's API takes it."""

    model: str
    prompt: str
    n: ChoiceCount | None = None
    size: str | None = None
    quality: str | None = None
    stream: bool = False
    partial_images: int | None = None


class EditCall(GenerationCall, frozen=True, kw_only=True):
    """Pictures from others, as OpenAI's API takes it as JSON: a form has files in their place."""

    images: list[dict[str, Any]] | None = None
    mask: dict[str, Any] | None = None


class EditForm(GenerationCall, frozen=True, kw_only=True):
    """The same as a form: one `image`, or several as `image[]`."""

    image: FormFile | list[FormFile]
    mask: FormFile | None = None


class VariationCall(msgspec.Struct, frozen=True, kw_only=True):
    """Variations of a picture, as OpenAI's API takes it: a form with a file."""

    model: str
    image: FormFile
    n: ChoiceCount | None = None
    size: str | None = None


class _ImageEndpoint:
    """What all have in common. They change nothing at an upstream, so a call may be repeated elsewhere."""

    meters = (("images", "input_tokens"), ("images", "output_tokens"), ("images", "output_image_tokens"))
    repeatable = True
    streams = True

    def _ask(
        self, body: JsonBody, rename: Callable[[str], bytes], given: list[Size], hidden: tuple[Feature, ...]
    ) -> ImageAsk:
        parameters = parameters_of(body)
        drawn = _drawn(body, parameters["output_format"])
        return ImageAsk(
            body=body,
            model=fields.model_of(body),
            stream=fields.flag(body, "stream"),
            drawn=drawn,
            given=tuple(given),
            rename=rename,
            parameters=parameters,
            end_user=fields.end_user(body),
            features=tuple(_for_each(feature, drawn.count) for feature in (*IMAGE.features(body), *hidden)),
        )

    def _read_json(self, data: bytes) -> ImageAsk:
        body = read_body(data)
        return self._ask(body, partial(_renamed_body, body, fields.model_of(body)), sizes_in_body(body), ())

    def _read_form(self, data: bytes, headers: Headers) -> ImageAsk:
        form = read_form(data, headers, _FIELDS)
        sizes = sizes_in_form(form)
        hidden = tuple(hidden_input(name, name) for name, size in sizes if size is None)
        rename = partial(_renamed_form, form, fields.model_of(form.members))
        return self._ask(form.members, rename, [size for _, size in sizes if size is not None], hidden)


class GenerationEndpoint(_ImageEndpoint):
    """Pictures from a prompt."""

    name = "images.generations"
    path = "/v1/images/generations"
    upstream_path = "/images/generations"
    summary = "Pictures from a prompt: authorized before they are drawn, charged when they have come."
    request = GenerationCall

    def read(self, body: bytes, headers: Headers = ()) -> ImageAsk:  # noqa: ARG002 - they cost nothing.
        """Read a request for pictures. Raises Refusal `invalid_json` or `invalid_value`."""
        ask = self._read_json(body)
        _require_prompt(ask.body)
        return ask


class EditEndpoint(_ImageEndpoint):
    """Pictures from others, and from a prompt."""

    name = "images.edits"
    path = "/v1/images/edits"
    upstream_path = "/images/edits"
    summary = (
        "Pictures from others and a prompt: authorized before they are drawn, charged when they have come."
    )
    request = EditCall

    def read(self, body: bytes, headers: Headers = ()) -> ImageAsk:
        """Read a request for edits, a form or JSON. Raises Refusal `invalid_json` or `invalid_value`."""
        ask = self._read_form(body, headers) if _is_form(headers) else self._read_json(body)
        _require_prompt(ask.body)
        return ask


class VariationEndpoint(_ImageEndpoint):
    """Pictures like another."""

    name = "images.variations"
    path = "/v1/images/variations"
    upstream_path = "/images/variations"
    streams = False
    summary = "Variations of a picture: authorized before they are drawn, charged when they have come."
    request = VariationCall

    def read(self, body: bytes, headers: Headers = ()) -> ImageAsk:
        """Read a request for variations, a form. Raises Refusal `invalid_value`."""
        return self._read_form(body, headers)


def _is_form(headers: Headers) -> bool:
    """Whether a body is a form, by its head. Raises Refusal for what is neither that nor JSON."""
    kinds = [value for name, value in headers if name.lower().replace("_", "-") == "content-type"]
    kind = (kinds[0] if kinds else "").partition(";")[0].strip().lower()
    if len(kinds) > 1 or not (kind in _JSON or kind == "multipart/form-data"):
        raise Refusal(
            "invalid_value",
            "`content-type` must be application/json or multipart/form-data here.",
            param="content-type",
        )
    return kind not in _JSON


def _require_prompt(body: JsonBody) -> None:
    fields.require(body, "prompt", (b'"',), "a string")


def _drawn(body: JsonBody, output_format: str) -> Drawn:
    """How much is to be drawn. Raises Refusal `invalid_value`."""
    frames = fields.whole(body, "frame_count", FRAMES_MAX) or USUAL_FRAMES
    return Drawn(
        count=fields.whole(body, "n", fields.CHOICES_MAX) or 1,
        frames=frames if output_format == GIF else 1,
        unfinished=fields.whole(body, "partial_images", UNFINISHED_MAX) or 0,
        writes=output_format == SVG,
    )


def _for_each(feature: Feature, count: int) -> Feature:
    """What is read of hidden input may be billed for each picture."""
    if not feature.hidden:
        return feature
    return replace(feature, hidden={meter: count * times for meter, times in feature.hidden.items()})


def _renamed_body(body: JsonBody, model: str, renamed: str) -> bytes:
    return body.patched({"model": msgspec.json.encode(renamed)} if renamed != model else {})


def _renamed_form(form: FormBody, model: str, renamed: str) -> bytes:
    return form.patched({"model": renamed} if renamed != model else {})
