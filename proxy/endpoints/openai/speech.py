"""POST /v1/audio/speech."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from proxy.endpoints.base import ForwardPlan, Headers, Tally
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.openai.audio_members import SPEECH
from proxy.endpoints.openai.spoken import SoundTally, SpeechTally
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, read_body
from proxy.metering.ceiling import Ceiling
from proxy.metering.tokens import count_text
from proxy.metering.usage import Needed, Usage

INPUT_BYTES_MAX: Final = 1_048_576
"""How long a text to be spoken may be, and what is said about how: a day of speech."""
FRAME_TOKENS: Final = 32
"""What a model is told beside the text."""
_SSE: Final = "sse"


class SpeechAsk(msgspec.Struct, frozen=True):
    """One request for speech. `texts` are what is said, and how it is to be said.

    It streams always: sound passes as it comes.
    """

    body: JsonBody
    model: str
    texts: tuple[str, ...]
    response_format: str
    is_events: bool
    end_user: str
    features: tuple[Feature, ...]
    stream: bool = True
    labels: str = ""
    parameters: Mapping[str, str] = NO_PARAMETERS

    @property
    def _characters(self) -> int:
        return sum(map(len, self.texts))

    def ceiling(self) -> Ceiling:
        """Its characters, the most tokens they can be, and as much sound as the rate card allows."""
        return self._ceiling(sum(len(text.encode("utf-8", "surrogatepass")) for text in self.texts))

    def ceiling_exact(self) -> Ceiling:
        """The same with its tokens as counted. Raises VocabularyError."""
        return self._ceiling(self._tokens(self.model))

    def _ceiling(self, tokens: int) -> Ceiling:
        fixed = {"characters": self._characters, "input_tokens": tokens + FRAME_TOKENS}
        return Ceiling(fixed, "output_tokens", firm=True, either=True)

    def _tokens(self, model: str) -> int:
        return sum(count_text(text, model) for text in self.texts)

    def estimate(self, model: str) -> Usage:
        """Its characters and its tokens. Raises VocabularyError."""
        return {"characters": self._characters, "input_tokens": self._tokens(model)}

    def input_text_length(self) -> int:
        """Its characters."""
        return self._characters

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name."""
        renamed = plan.model != self.model
        return self.body.patched({"model": msgspec.json.encode(plan.model)} if renamed else {})

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally of events or of sound, whichever was asked for."""
        if self.is_events:
            return SpeechTally(self.response_format, keep_usage=keep_usage)
        return SoundTally(self.response_format)


class SpeechCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call for speech as OpenAI's API takes it."""

    model: str
    input: str
    voice: Any = None
    instructions: str = ""
    response_format: str = "mp3"
    stream_format: Literal["audio", "sse"] = "audio"


class SpeechEndpoint:
    """Speech. It changes nothing at an upstream, so a call may be repeated at another target."""

    name = "audio.speech"
    path = "/v1/audio/speech"
    upstream_path = "/audio/speech"
    meters: Needed = (("characters", "input_tokens"), ("characters", "output_tokens"))
    repeatable = True
    summary = "A text as speech: authorized before it is forwarded, charged when it has been spoken."
    request = SpeechCall
    streams = True

    def read(self, body: bytes, headers: Headers = ()) -> SpeechAsk:  # noqa: ARG002 - they cost nothing.
        """Read a request for speech. Raises Refusal `invalid_json` or `invalid_value`."""
        request = read_body(body)
        model = fields.model_of(request)
        fields.require(request, "input", (b'"',), "a string")
        stream_format = _text(request, "stream_format")
        if stream_format not in {"", "audio", _SSE}:
            raise fields.wrong(request, "stream_format", "audio or sse")
        return SpeechAsk(
            body=request,
            model=model,
            texts=(_text(request, "input"), _text(request, "instructions")),
            response_format=_text(request, "response_format"),
            is_events=stream_format == _SSE,
            end_user=fields.end_user(request),
            features=SPEECH.features(request),
        )


def _text(request: JsonBody, name: str) -> str:
    """A text of a length that somebody may want spoken; empty for null and absence."""
    raw = request.members.get(name)
    if raw is None or beginning(raw) == b"null":
        return ""
    value = request[name] if request.bytes_of(name) <= INPUT_BYTES_MAX else None
    if not isinstance(value, str):
        raise fields.wrong(request, name, f"a string of at most {INPUT_BYTES_MAX} bytes")
    # A long one stands for itself in the body, and would be measured with its escapes.
    return str(value)
