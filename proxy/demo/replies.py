"""Replies in OpenAI's shapes, whole and streamed. Ids and times are arguments."""

import base64
import sys
from array import array
from collections.abc import Iterator, Sequence

import msgspec

from proxy.demo.asks import Json
from proxy.demo.speech import Said


class Reply(msgspec.Struct, frozen=True):
    """Everything a reply is made of."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    choices: tuple[Said, ...]

    @property
    def usage(self) -> Json:
        """Prompt and completion tokens, all choices together."""
        completion_tokens = sum(choice.tokens for choice in self.choices)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }

    def head(self, kind: str) -> Json:
        """The members that a whole reply and each chunk of one begin with."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": "fp_demo",
        }


def chat_completion(reply: Reply) -> Json:
    """A whole chat completion."""
    choices = []
    for index, said in enumerate(reply.choices):
        message: Json = {"role": "assistant", "content": said.text, "refusal": None}
        if said.tool is not None:
            message |= {"content": None, "tool_calls": [_call(reply, index, said, said.text)]}
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": said.finish})
    return {**reply.head("chat.completion"), "choices": choices, "usage": reply.usage}


def text_completion(reply: Reply, echoes: Sequence[str]) -> Json:
    """A whole text completion; `echoes` stand before the texts."""
    choices = [
        {"index": index, "text": echo + said.text, "logprobs": None, "finish_reason": said.finish}
        for index, (said, echo) in enumerate(zip(reply.choices, echoes, strict=True))
    ]
    return {**reply.head("text_completion"), "choices": choices, "usage": reply.usage}


def chat_chunks(reply: Reply, *, wants_usage: bool) -> Iterator[Json]:
    """The events of a streamed chat completion: one token each, the choices by turns."""

    def chunk(index: int, delta: Json, finish: str | None = None) -> Json:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [choice]}

    head = reply.head("chat.completion.chunk") | ({"usage": None} if wants_usage else {})
    for index, said in enumerate(reply.choices):
        opening: Json = {"role": "assistant", "content": "", "refusal": None}
        if said.tool is not None:
            opening |= {"content": None, "tool_calls": [{"index": 0, **_call(reply, index, said, "")}]}
        yield chunk(index, opening)
    for index, said, piece in _by_turns(reply.choices):
        yield chunk(index, {"content": piece} if said.tool is None else _more_arguments(piece))
    for index, said in enumerate(reply.choices):
        yield chunk(index, {}, said.finish)
    if wants_usage:
        yield {**head, "choices": [], "usage": reply.usage}


def text_chunks(reply: Reply, echoes: Sequence[str], *, wants_usage: bool) -> Iterator[Json]:
    """The events of a streamed text completion."""

    def chunk(index: int, text: str, finish: str | None = None) -> Json:
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [choice]}

    head = reply.head("text_completion") | ({"usage": None} if wants_usage else {})
    for index, echo in enumerate(echoes):
        if echo:
            yield chunk(index, echo)
    for index, _, piece in _by_turns(reply.choices):
        yield chunk(index, piece)
    for index, said in enumerate(reply.choices):
        yield chunk(index, "", said.finish)
    if wants_usage:
        yield {**head, "choices": [], "usage": reply.usage}


def _by_turns(choices: Sequence[Said]) -> Iterator[tuple[int, Said, str]]:
    longest = max(len(said.pieces) for said in choices)
    for step in range(longest):
        for index, said in enumerate(choices):
            if step < len(said.pieces):
                yield index, said, said.pieces[step]


def _call(reply: Reply, index: int, said: Said, arguments: str) -> Json:
    call_id = f"call_{reply.id.rpartition('_')[2]}{index}"
    return {"id": call_id, "type": "function", "function": {"name": said.tool, "arguments": arguments}}


def _more_arguments(piece: str) -> Json:
    return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def embedding_list(model: str, vectors: Sequence[Sequence[float]], tokens: int, encoding_format: str) -> Json:
    """A whole embeddings reply; `base64` holds little-endian 32-bit floats."""
    as_sent = _base64 if encoding_format == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": as_sent(vector)}
        for index, vector in enumerate(vectors)
    ]
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _base64(vector: Sequence[float]) -> str:
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode("ascii")
