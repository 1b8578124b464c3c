"""What the demo upstream answers: a table of texts, and OpenAI's shapes around them."""

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

Json = dict[str, object]
_Tokens = Annotated[int, msgspec.Meta(ge=1)]

# The first whose word is in the prompt answers it. The texts are ASCII, so each token is text of its own.
_TEXTS: Final = (
    ("fare", "A fare is paid before the ride. Farebox held it, forwarded this call, and charged the use."),
    ("hello", "Hello! You called a model, and you paid for it: look at the balance."),
    ("", "This is the demo upstream. It has only a few answers, and this one fits every question."),
)
RESULTS: Final[Json] = {
    "results": [
        {"title": "Fare", "url": "https://search.invalid/fare", "snippet": "What a passenger pays."},
        {"title": "Farebox", "url": "https://search.invalid/farebox", "snippet": "Where the fare is put."},
    ]
}
_MODEL: Final = {"object": "model", "created": 0, "owned_by": "demo"}
MODELS: Final[Json] = {
    "object": "list",
    "data": [{"id": "demo-chat", **_MODEL}, {"id": "demo-embedding", **_MODEL}],
}


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a chat or a text completion. Members that are not listed are ignored."""

    model: str
    messages: list[Json] = []
    prompt: str | list[object] = ""
    stream: bool = False
    stream_options: Mapping[str, object] | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=128)] | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None

    @property
    def answer(self) -> str:
        """The text for the last message or the prompt."""
        asked = str(self.messages[-1].get("content") if self.messages else self.prompt).lower()
        return next(text for word, text in _TEXTS if word in asked)

    @property
    def choices(self) -> int:
        """How many answers are wanted: `n` for each prompt of a list of them."""
        prompts = self.prompt if isinstance(self.prompt, list) else []
        return (self.n or 1) * max(1, sum(not isinstance(prompt, int) for prompt in prompts))


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for embeddings. `input` is a text, token ids, or a list of either."""

    model: str
    input: str | Annotated[list[object], msgspec.Meta(min_length=1)]
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=3072)] = 256
    encoding_format: Literal["float", "base64"] = "float"


def completion(head: Json, pieces: Sequence[str], choices: int, finish: str, usage: Json) -> Json:
    """A chat or a text completion, by the `object` in its `head`; `pieces` are the tokens of each choice."""
    text = "".join(pieces)
    is_chat = head["object"] == "chat.completion"
    content: Json = {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    choice = {**content, "logprobs": None, "finish_reason": finish}
    return {**head, "choices": [{"index": index, **choice} for index in range(choices)], "usage": usage}


def chunks(
    head: Json, pieces: Sequence[str], choices: int, finish: str, usage: Json | None
) -> Iterator[Json]:
    """The events of the stream of a completion, each with one token of one choice; then `usage` if given."""
    is_chat = head["object"] == "chat.completion"
    frame = {**head, "object": "chat.completion.chunk" if is_chat else "text_completion"}
    if usage:
        frame["usage"] = None
    for piece, ending in [*((piece, None) for piece in pieces), ("", finish)]:
        content: Json = {"delta": {"role": "assistant", "content": piece}} if is_chat else {"text": piece}
        choice = {**content, "logprobs": None, "finish_reason": ending}
        yield from ({**frame, "choices": [{"index": index, **choice}]} for index in range(choices))
    if usage:
        yield {**frame, "choices": [], "usage": usage}


def embeddings(wanted: EmbeddingRequest, tokens: int) -> Json:
    """The same unit vector for each input; `base64` holds little-endian 32-bit floats."""
    inputs = wanted.input if isinstance(wanted.input, list) else [wanted.input]
    count = 1 if all(isinstance(member, int) for member in inputs) else len(inputs)
    length = wanted.dimensions**-0.5
    vector: object = [length] * wanted.dimensions
    if wanted.encoding_format == "base64":
        vector = base64.b64encode(struct.pack("<f", length) * wanted.dimensions).decode()
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)],
        "model": wanted.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
