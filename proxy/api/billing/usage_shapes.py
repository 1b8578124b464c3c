"""The shapes of usage in OpenAI's API, a result for each family of calls."""

from typing import Any, Final, Literal

from msgspec import Struct, defstruct

from proxy.api.reader import CallSum

_Object = Literal["bucket"]


class UsageResult(Struct, frozen=True, kw_only=True):
    """What every result tells beside its figures. What it is not grouped by is null."""

    project_id: str | None
    user_id: str | None
    api_key_id: str | None
    model: str | None
    end_user: str | None


class CompletionsResult(UsageResult, frozen=True, kw_only=True):
    """Text that was made: chats, completions, responses and messages. Input includes what was cached."""

    object: Literal["organization.usage.completions.result"] = "organization.usage.completions.result"
    input_tokens: int
    input_cached_tokens: int
    input_cache_write_tokens: int
    input_uncached_tokens: int
    input_audio_tokens: int
    output_tokens: int
    output_audio_tokens: int
    num_model_requests: int


class EmbeddingsResult(UsageResult, frozen=True, kw_only=True):
    """Embeddings."""

    object: Literal["organization.usage.embeddings.result"] = "organization.usage.embeddings.result"
    input_tokens: int
    num_model_requests: int


class ModerationsResult(UsageResult, frozen=True, kw_only=True):
    """Moderations."""

    object: Literal["organization.usage.moderations.result"] = "organization.usage.moderations.result"
    input_tokens: int
    num_model_requests: int


class ImagesResult(UsageResult, frozen=True, kw_only=True):
    """Pictures that were made, edited or varied."""

    object: Literal["organization.usage.images.result"] = "organization.usage.images.result"
    images: int
    num_model_requests: int


class SpeechesResult(UsageResult, frozen=True, kw_only=True):
    """Text that was spoken."""

    object: Literal["organization.usage.audio_speeches.result"] = "organization.usage.audio_speeches.result"
    characters: int
    num_model_requests: int


class TranscriptionsResult(UsageResult, frozen=True, kw_only=True):
    """Sound that was transcribed or translated."""

    object: Literal["organization.usage.audio_transcriptions.result"] = (
        "organization.usage.audio_transcriptions.result"
    )
    seconds: int
    num_model_requests: int


class WebSearchesResult(UsageResult, frozen=True, kw_only=True):
    """Searches of the web within calls."""

    object: Literal["organization.usage.web_searches.result"] = "organization.usage.web_searches.result"
    num_requests: int
    num_model_requests: int


class FileSearchesResult(UsageResult, frozen=True, kw_only=True):
    """Searches of files within calls."""

    object: Literal["organization.usage.file_searches.result"] = "organization.usage.file_searches.result"
    num_requests: int


class CodeSessionsResult(UsageResult, frozen=True, kw_only=True):
    """Containers in which calls ran code."""

    object: Literal["organization.usage.code_interpreter_sessions.result"] = (
        "organization.usage.code_interpreter_sessions.result"
    )
    num_sessions: int


class UsageView(Struct, frozen=True, kw_only=True):
    """A page of buckets, in order; `next_page` leads to the rest."""

    object: Literal["page"] = "page"
    has_more: bool
    next_page: str | None


class UsageFamily(Struct, frozen=True):
    """A family: the endpoints whose calls are in it, and the meter of each figure of its results.

    A `within` family counts what calls did beside their own business: only calls that did any are in it.
    """

    name: str
    summary: str
    endpoints: frozenset[str]
    result: type[Any]
    meters: dict[str, str]
    bucket: type[Any]
    view: type[Any]
    within: bool = False

    def figures(self, one: CallSum) -> dict[str, int]:
        """The figures of a result."""
        found = {name: int(getattr(one, meter)) for name, meter in self.meters.items()}
        if "input_uncached_tokens" in self.result.__struct_fields__:
            rest = one.input_tokens - one.cached_input_tokens - one.cache_write_tokens
            found["input_uncached_tokens"] = max(0, rest)
        if self.within and not any(found.values()):
            return dict.fromkeys(found, 0)
        if "num_model_requests" in self.result.__struct_fields__:
            found["num_model_requests"] = one.requests
        return found


_TEXT: Final = frozenset({"chat.completions", "completions", "responses", "responses.compact", "messages"})


def _family(
    name: str,
    summary: str,
    endpoints: frozenset[str],
    result: type[Any],
    *,
    within: bool = False,
    **meters: str,
) -> UsageFamily:
    stem = result.__name__.removesuffix("Result")
    options: dict[str, Any] = {"frozen": True, "kw_only": True}
    times: list[Any] = [("start_time", int), ("end_time", int), ("object", _Object, "bucket")]
    bucket = defstruct(f"{stem}UsageBucketView", [*times, ("results", _list_of(result))], **options)
    bucket.__doc__ = "What was used within a stretch of time; what used nothing is left out."
    view = defstruct(f"{stem}UsageView", [("data", _list_of(bucket))], bases=(UsageView,), **options)
    view.__doc__ = UsageView.__doc__
    return UsageFamily(name, summary, endpoints, result, meters, bucket, view, within)


def _list_of(kind: type[Any]) -> Any:
    return list.__class_getitem__(kind)


FAMILIES: Final = (
    _family(
        "completions",
        "What text models used",
        _TEXT,
        CompletionsResult,
        input_tokens="input_tokens",
        input_cached_tokens="cached_input_tokens",
        input_cache_write_tokens="cache_write_tokens",
        input_audio_tokens="input_audio_tokens",
        output_tokens="output_tokens",
        output_audio_tokens="output_audio_tokens",
    ),
    _family(
        "embeddings",
        "What embeddings used",
        frozenset({"embeddings"}),
        EmbeddingsResult,
        input_tokens="input_tokens",
    ),
    _family(
        "moderations",
        "What moderations used",
        frozenset({"moderations"}),
        ModerationsResult,
        input_tokens="input_tokens",
    ),
    _family(
        "images",
        "How many pictures were made",
        frozenset({"images.generations", "images.edits", "images.variations"}),
        ImagesResult,
        images="images",
    ),
    _family(
        "audio_speeches",
        "How much text was spoken",
        frozenset({"audio.speech"}),
        SpeechesResult,
        characters="characters",
    ),
    _family(
        "audio_transcriptions",
        "How much sound was transcribed",
        frozenset({"audio.transcriptions", "audio.translations"}),
        TranscriptionsResult,
        seconds="audio_seconds",
    ),
    _family(
        "web_search_calls",
        "How often calls searched the web",
        _TEXT,
        WebSearchesResult,
        within=True,
        num_requests="web_searches",
    ),
    _family(
        "file_search_calls",
        "How often calls searched files",
        _TEXT,
        FileSearchesResult,
        within=True,
        num_requests="file_searches",
    ),
    _family(
        "code_interpreter_sessions",
        "In how many containers calls ran code",
        _TEXT,
        CodeSessionsResult,
        within=True,
        num_sessions="containers",
    ),
)
