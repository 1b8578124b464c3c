"""The requests that the demo upstream understands, in OpenAI's shapes."""

from typing import Annotated, Final, Literal

import msgspec

DEFAULT_COMPLETION_TOKENS: Final = 16
DEFAULT_DIMENSIONS: Final = 256

Json = dict[str, object]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
_Choices = Annotated[int, msgspec.Meta(ge=1, le=128)]


class StreamOptions(msgspec.Struct, frozen=True):
    """How to stream."""

    include_usage: bool = False


class _Generation(msgspec.Struct, frozen=True, kw_only=True):
    """What requests for text have in common. Members that are not listed are ignored, as by most servers."""

    model: str
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: _Choices | None = None
    max_tokens: _Tokens | None = None
    stop: str | list[str] | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end a reply."""
        stop = self.stop or ()
        return tuple(text for text in ((stop,) if isinstance(stop, str) else stop) if text)


class ChatRequest(_Generation, frozen=True, kw_only=True):
    """A request for `POST /v1/chat/completions`."""

    messages: Annotated[list[Json], msgspec.Meta(min_length=1)]
    max_completion_tokens: _Tokens | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    response_format: Json | None = None


class CompletionRequest(_Generation, frozen=True, kw_only=True):
    """A request for `POST /v1/completions`. `prompt` has any of the four shapes."""

    prompt: str | list[object] = ""
    echo: bool = False


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for `POST /v1/embeddings`. `input` has any of the four shapes."""

    model: str
    input: str | Annotated[list[object], msgspec.Meta(min_length=1, max_length=2048)]
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=3072)] = DEFAULT_DIMENSIONS
    encoding_format: Literal["float", "base64"] = "float"


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for `/search`."""

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5
