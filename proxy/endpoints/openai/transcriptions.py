"""POST /v1/audio/transcriptions, and POST /v1/audio/translations."""

from collections.abc import Mapping
from functools import cached_property
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from proxy.endpoints.base import ForwardPlan, Headers, Reading, Tally
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.openai.audio_members import FORM, TRANSCRIPTION
from proxy.endpoints.openai.sound_usage import SoundUsage
from proxy.endpoints.openai.transcripts import TranscriptReader, last_cue_seconds, read_plain
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody
from proxy.endpoints.reading.form import FormBody, FormFile, read_form
from proxy.endpoints.reading.multipart import BodyPart
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from proxy.errors import Refusal
from proxy.metering.ceiling import Ceiling
from proxy.metering.durations import LEAST_BYTES_A_SECOND
from proxy.metering.sounds import (
    SoundLength,
    is_measured,
    is_sound,
    longest_seconds,
    sound_length,
)
from proxy.metering.tokens import count_text
from proxy.metering.usage import Inference, Needed, Usage

TOKENS_A_SECOND: Final = 10
"""Of sound that is read as input: one for each tenth of a second."""
TOKENS_SAID_A_SECOND: Final = 50
"""Nobody speaks faster in any language, so that a text tells the least that its sound lasts."""
CUE_SLACK_SECONDS: Final = 30
"""How far beyond its sound a last subtitle may be said to end: models hear in windows of that length."""
FRAME_TOKENS: Final = 32
"""What a model is told beside the sound and the prompt."""
REFERENCES_MAX: Final = 16
_MEASURED_CHARS: Final = 4_194_304
"""How much a sound counts as at most that has to be measured: it is looked at off the loop."""
_CHARS_A_BYTE: Final = 8
"""What a byte of it takes, beside one of a text: blocks of a few bytes are read one by one."""

_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
_PLAIN_FORMATS: Final = frozenset({"text", "srt", "vtt"})
_CUED_FORMATS: Final = frozenset({"srt", "vtt"})
_METERS: Final[Needed] = (("audio_seconds", "input_tokens"), ("audio_seconds", "output_tokens"))


class Recording:
    """The sound that is to be heard, in a part of a form. It is measured once, when it has to be."""

    def __init__(self, form: FormBody, part: BodyPart) -> None:
        self._place = (form.data, part.start, part.stop)
        self.size_bytes = part.size_bytes
        self.is_measured = is_measured(*self._place)
        self.longest = longest_seconds(*self._place)

    @cached_property
    def length(self) -> SoundLength:
        """How long it lasts. An hour takes 20 ms: ask for it off the loop."""
        return sound_length(*self._place)

    @property
    def likely(self) -> int:
        """How many seconds it most likely lasts; 0 while it is not measured."""
        measured: SoundLength | None = self.__dict__.get("length")
        return measured.likely if measured is not None else 0


class TranscriptionAsk(msgspec.Struct, frozen=True):
    """One request for a transcript. `beside` are seconds of other sound in it, `text` all that it says."""

    form: FormBody
    model: str
    recording: Recording
    beside: int
    text: str
    stream: bool
    response_format: str
    end_user: str
    features: tuple[Feature, ...]
    parameters: Mapping[str, str] = NO_PARAMETERS
    labels: str = ""

    def ceiling(self) -> Ceiling:
        """The longest that the sound can last, by its bytes."""
        return self._ceiling(self.recording.longest, len(self.text.encode()))

    def ceiling_exact(self) -> Ceiling:
        """The same, of the sound as it was measured, and of the text as it was counted."""
        seconds = min(self.recording.length.most, self.recording.longest)
        return self._ceiling(seconds, count_text(self.text, self.model))

    def _ceiling(self, seconds: int, text_tokens: int) -> Ceiling:
        seconds += self.beside
        tokens = seconds * TOKENS_A_SECOND + text_tokens + FRAME_TOKENS
        fixed = {"audio_seconds": seconds, "input_tokens": tokens}
        return Ceiling(fixed, "output_tokens", firm=True, either=True)

    def estimate(self, model: str) -> Usage:
        """The length that the file tells, and what it and the text come to in tokens."""
        seconds = self.recording.length.likely
        sound = seconds * TOKENS_A_SECOND
        tokens = sound + count_text(self.text, model)
        return {"audio_seconds": seconds, "input_tokens": tokens, "input_audio_tokens": sound}

    def input_text_length(self) -> int:
        """Much for a sound that takes long to measure."""
        return min(self.recording.size_bytes * _CHARS_A_BYTE, _MEASURED_CHARS) + len(self.text)

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's form with the target's model name."""
        return self.form.patched({"model": plan.model} if plan.model != self.model else {})

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally of events, of JSON or of text, whichever was asked for."""
        if self.stream:
            return TranscriptStream(self.recording, self.response_format, keep_usage=keep_usage)
        return TranscriptTally(self.recording, self.response_format, keep_usage=keep_usage)


def _with_seconds(reading: Reading | None, recording: Recording) -> Reading | None:
    """What was reported, with the seconds that its tokens need where the header of the file tells fewer."""
    if reading is None or "audio_seconds" in reading.usage or recording.is_measured:
        return reading
    said = -(-reading.usage.get("output_tokens", 0) // TOKENS_SAID_A_SECOND)
    if said <= recording.length.likely:
        return reading
    inferred: dict[str, Inference] = {**reading.inferred, "audio_seconds": "counted"}
    return replace(reading, usage={**reading.usage, "audio_seconds": said}, inferred=inferred)


class TranscriptStream(StreamTally):
    """The tally of a transcript in events. Models that cannot stream answer in one piece all the same."""

    def __init__(self, recording: Recording, response_format: str, *, keep_usage: bool) -> None:
        super().__init__(read=TranscriptReader().read, report=SoundUsage, keep_usage=keep_usage)
        self._recording = recording
        self._is_plain = response_format in _PLAIN_FORMATS

    def reported(self) -> Reading | None:
        """The usage of the last event, and the seconds that it needs."""
        return _with_seconds(super().reported(), self._recording)

    @property
    def complete(self) -> bool:
        """As of every stream; or all of it is text, which has no end of its own."""
        return super().complete or (self._is_plain and not (self._begun or self._failed))


class TranscriptTally(WholeTally):
    """The tally of a transcript in one piece. Where it is not told how long the sound was, its text tells."""

    def __init__(self, recording: Recording, response_format: str, *, keep_usage: bool) -> None:
        is_plain = self._is_plain = response_format in _PLAIN_FORMATS
        read = read_plain if is_plain else TranscriptReader().read
        super().__init__(read=read, report=SoundUsage, keep_usage=keep_usage and not is_plain)
        self._recording = recording
        self._has_cues = response_format in _CUED_FORMATS
        self._last_cue = 0

    def finish(self) -> None:
        """Read the reply, once all of it is there: nothing is the text of a silence."""
        super().finish()
        if self._is_plain and self._part is None:
            self._part = read_plain(b"")
        if self._has_cues and self._chunks:
            self._last_cue = last_cue_seconds(self._chunks[0])

    def reported(self) -> Reading | None:
        """The usage at the top level of the reply, and the seconds that it needs."""
        return _with_seconds(super().reported(), self._recording)

    def produced(self, text_tokens: int, model: str) -> Usage:
        """The text as output, and the seconds of the file, or more where more was said than fits in them."""
        by_cue, by_text = self._last_cue - CUE_SLACK_SECONDS, -(-text_tokens // TOKENS_SAID_A_SECOND)
        said = by_cue if self._has_cues else by_text
        return {**super().produced(text_tokens, model), "audio_seconds": max(said, self._recording.likely)}


class TranscriptionCall(msgspec.Struct, frozen=True, kw_only=True):
    """A transcription as OpenAI's API takes it, as multipart/form-data."""

    file: FormFile
    model: str
    prompt: str = ""
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"] = "json"
    stream: bool = False


class TranslationCall(msgspec.Struct, frozen=True, kw_only=True):
    """A translation as OpenAI's API takes it, as multipart/form-data."""

    file: FormFile
    model: str
    prompt: str = ""
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"


class TranscriptionEndpoint:
    """Transcriptions. They change nothing at an upstream, so a call may be repeated at another target."""

    name = "audio.transcriptions"
    path = "/v1/audio/transcriptions"
    upstream_path = "/audio/transcriptions"
    meters = _METERS
    repeatable = True
    summary = (
        "What is said in a recording: authorized before it is forwarded, charged when it has been heard."
    )
    request: type[msgspec.Struct] = TranscriptionCall
    streams = True

    def read(self, body: bytes, headers: Headers = ()) -> TranscriptionAsk:
        """Read a request for a transcript. Raises Refusal `invalid_value`."""
        form = read_form(body, headers, FORM)
        request = form.members
        model = fields.model_of(request)
        features = TRANSCRIPTION.features(request)
        response_format = str(request.get("response_format", "json"))
        if response_format not in _FORMATS:
            raise fields.wrong(request, "response_format", f"one of {', '.join(_FORMATS)}")
        return TranscriptionAsk(
            form=form,
            model=model,
            recording=_recording(form),
            beside=_references(form),
            text=_text(request),
            stream=fields.flag(request, "stream"),
            response_format=response_format,
            end_user=fields.end_user(request),
            features=features,
        )


class TranslationEndpoint(TranscriptionEndpoint):
    """Translations of what is said into English."""

    name = "audio.translations"
    path = "/v1/audio/translations"
    upstream_path = "/audio/translations"
    summary = (
        "What is said in a recording, in English: authorized before it is forwarded, charged afterwards."
    )
    request = TranslationCall


def _recording(form: FormBody) -> Recording:
    files = form.files("file")
    if not files:
        raise fields.wrong(form.members, "file", "a file")
    if not is_sound(bytes(form.content(files[0])[:64])):
        raise Refusal(
            "invalid_value",
            "`file` is in no format whose length is bounded by its bytes. WAV, MP3, AAC, FLAC, Ogg, MP4, "
            "WebM, AIFF, WMA, AMR and CAF are read.",
            param="file",
        )
    return Recording(form, files[0])


def _text(request: JsonBody) -> str:
    """All that a model is told beside the sound."""
    keywords = request.get("keywords", [])
    assert isinstance(keywords, list)
    return "\n".join((str(request.get("prompt", "")), *keywords))


def _references(form: FormBody) -> int:
    """The most seconds of the voices that the form has for comparison."""
    name = "known_speaker_references"
    given = form.members.get(name, [])
    assert isinstance(given, list)
    if len(given) > REFERENCES_MAX or not all(text.startswith("data:") for text in given):
        raise Refusal(
            "invalid_value", f"`{name}` must be at most {REFERENCES_MAX} sounds as data URLs.", param=name
        )
    return sum(1 + len(text) // LEAST_BYTES_A_SECOND for text in given)
