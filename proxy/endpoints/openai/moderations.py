"""POST /v1/moderations: texts and pictures judged. OpenAI's models are free, others as their card says."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from proxy.endpoints.base import ForwardPlan, Headers
from proxy.endpoints.content import HiddenInMessages
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.openai.members import MODERATION
from proxy.endpoints.openai.messages import CHAT_CONTENT
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, read_body
from proxy.endpoints.reading.inputs import bound_inputs, count_objects, input_tokens
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.ceiling import Ceiling
from proxy.metering.estimates import chat_estimate
from proxy.metering.parts import Media, media_of
from proxy.metering.prompts import chat_bound, chat_tokens
from proxy.metering.usage import Usage

DEFAULT_MODEL: Final = "omni-moderation-latest"
"""What OpenAI's API takes for a call that names no model."""
FREE_MODELS: Final = ("omni-moderation-*", "text-moderation-*")
"""OpenAI charges nothing for these: without a rate card they are free here as well."""

_NO_MEDIA: Final = Media(0, 0)


class ModerationsCall(msgspec.Struct, frozen=True, kw_only=True):
    """A moderation as OpenAI's API takes it: one text, several, or parts as of a chat's message."""

    input: str | list[Any]
    model: str = DEFAULT_MODEL


class ModerationAsk(msgspec.Struct, frozen=True):
    """One request for a moderation. With `has_parts` its input is not only text, and has this `media`."""

    body: JsonBody
    model: str
    has_parts: bool = False
    media: Media = _NO_MEDIA
    stream: bool = False
    end_user: str = ""
    labels: str = ""
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS

    def ceiling(self) -> Ceiling:
        """The most input by the bytes: a token has one at least."""
        return Ceiling({"input_tokens": chat_bound(self.body.bytes_of("input"), self.media)})

    def ceiling_exact(self) -> Ceiling:
        """The input as counted. Raises VocabularyError when the vocabulary cannot be loaded."""
        counted = chat_tokens(self._as_chat(), self.model) if self.has_parts else self._counted(self.model)
        return Ceiling({"input_tokens": min(counted, self.ceiling().fixed["input_tokens"])})

    def estimate(self, model: str) -> Usage:
        """What the input most likely comes to. Raises VocabularyError as above."""
        likely = chat_estimate(self._as_chat(), model) if self.has_parts else self._counted(model)
        return {"input_tokens": min(likely, self.ceiling().fixed["input_tokens"])}

    def input_text_length(self) -> int:
        """The input's length without its pictures."""
        return self.body.bytes_of("input") - self.media.payload_chars

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name."""
        renamed = plan.model != self.model
        return self.body.patched({"model": msgspec.json.encode(plan.model)} if renamed else {})

    def tally(self, *, keep_usage: bool = False) -> WholeTally:
        """A fresh tally. Some report usage; the verdicts are no output."""
        return WholeTally(has_output=False, keep_usage=keep_usage)

    def _counted(self, model: str) -> int:
        return input_tokens(self.body, "input", model)

    def _as_chat(self) -> Mapping[str, object]:
        return {"messages": [{"content": list(self.body.items_of("input"))}]}


class ModerationEndpoint:
    """Moderations. They change nothing at an upstream."""

    name = "moderations"
    path = "/v1/moderations"
    upstream_path = "/moderations"
    meters = ("input_tokens",)
    repeatable = True
    summary = "A moderation: free with OpenAI's models, else charged as its rate card says."
    request = ModerationsCall
    streams = False

    def read(self, body: bytes, headers: Headers = ()) -> ModerationAsk:  # noqa: ARG002 - they cost nothing.
        """Read a request for a moderation. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        is_named = "model" in request and beginning(request.members["model"]) != b"null"
        model = fields.model_of(request) if is_named else DEFAULT_MODEL
        fields.require(request, "input", (b'"', b"["), "a string or an array")
        bound_inputs(request, "input")
        features = MODERATION.features(request)
        if not count_objects(request, "input"):
            return ModerationAsk(request, model, end_user=fields.end_user(request), features=features)
        hidden = HiddenInMessages(CHAT_CONTENT, "input")
        tokens = payload_chars = 0
        for part in request.items_of("input"):
            hidden.add_part(part)
            if (media := media_of(part, model)) is not None:
                tokens += media.tokens
                payload_chars += media.payload_chars
        return ModerationAsk(
            request,
            model,
            has_parts=True,
            media=Media(tokens, payload_chars),
            end_user=fields.end_user(request),
            features=(*features, *hidden.features(request.members["input"])),
        )
