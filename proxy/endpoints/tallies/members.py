"""The members of a JSON object of a reply, which is one event of a stream or a whole body.

The structs are closed tables of the members that usual replies have. An object with any other one, or with
one of another type, is odd: `part.py` finds the output in it all the same, in more time.
"""

from typing import Any, Final

import msgspec

from proxy.endpoints.tallies.payload import Payload

PASSED: Final = msgspec.Raw()
"""What a member has that describes what is beside it, and is no output: such a one is not decoded."""


class Function(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A function that the model calls: its name, and its arguments as JSON text, in parts when streamed."""

    name: str | None = None
    arguments: str | None = None


class Custom(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A tool without a schema that the model calls, and the text it gets."""

    name: str | None = None
    input: str | None = None


class ToolCall(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A tool that the model calls."""

    function: Function | None = None
    custom: Custom | None = None
    index: int | None = None
    id: msgspec.Raw = PASSED
    type: msgspec.Raw = PASSED
    extra_content: msgspec.Raw = PASSED

    @property
    def begins(self) -> bool:
        """Whether it is a call, and not only more of one: it has a name."""
        return bool((self.function and self.function.name) or (self.custom and self.custom.name))


class Audio(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What comes with speech; the speech itself makes an event odd."""

    transcript: str | None = None
    id: msgspec.Raw = PASSED
    expires_at: msgspec.Raw = PASSED


class Message(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A message, or what an event adds to one."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Audio | None = None
    reasoning_details: tuple[()] | None = None
    role: msgspec.Raw = PASSED
    name: msgspec.Raw = PASSED
    id: msgspec.Raw = PASSED
    tool_call_id: msgspec.Raw = PASSED
    token_id: msgspec.Raw = PASSED
    annotations: msgspec.Raw = PASSED
    channel: msgspec.Raw = PASSED
    extra_content: msgspec.Raw = PASSED
    provider_metadata: msgspec.Raw = PASSED
    provider_specific_fields: msgspec.Raw = PASSED

    def texts(self) -> list[str]:
        """All text in it that the model has produced; reasoning under both its names counts once."""
        content, reasoning = self.content, self.reasoning_content or self.reasoning
        if not (reasoning or self.refusal or self.tool_calls or self.function_call or self.audio):
            return [content] if content else []
        texts = [content, reasoning, self.refusal]
        for call in self.tool_calls or ():
            if call.function:
                texts += (call.function.name, call.function.arguments)
            if call.custom:
                texts += (call.custom.name, call.custom.input)
        if self.function_call:
            texts += (self.function_call.name, self.function_call.arguments)
        if self.audio:
            texts.append(self.audio.transcript)
        return [text for text in texts if text]


class Choice(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One answer, or what an event adds to it: a message in chats, text in completions."""

    index: int = 0
    delta: Message | None = None
    message: Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = PASSED
    token_ids: msgspec.Raw = PASSED
    native_finish_reason: msgspec.Raw = PASSED
    stop_reason: msgspec.Raw = PASSED
    matched_stop: msgspec.Raw = PASSED
    content_filter_results: msgspec.Raw = PASSED
    content_filter_offsets: msgspec.Raw = PASSED
    seed: msgspec.Raw = PASSED

    def texts(self) -> list[str]:
        """All text in it that the model has produced."""
        message = self.delta or self.message
        texts = message.texts() if message is not None else []
        return texts or ([self.text] if self.text else texts)

    def calls(self) -> list[int | None]:
        """The place of each call of a tool that begins here; None where the upstream does not number them."""
        message = self.delta or self.message
        if message is None:
            return []
        begun: list[int | None] = [call.index for call in message.tool_calls or () if call.begins]
        if message.function_call and message.function_call.name:
            begun.append(None)
        return begun


class Part(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An event's data or a whole body. Only members at its top level count: deeper ones may be a client's."""

    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    object: str | None = None
    type: str | None = None
    x_groq: Any = None
    timings: Any = None
    id: msgspec.Raw = PASSED
    created: msgspec.Raw = PASSED
    model: msgspec.Raw = PASSED
    system_fingerprint: msgspec.Raw = PASSED
    service_tier: msgspec.Raw = PASSED
    provider: msgspec.Raw = PASSED
    obfuscation: msgspec.Raw = PASSED
    padding: msgspec.Raw = PASSED
    p: msgspec.Raw = PASSED
    prompt_filter_results: msgspec.Raw = PASSED
    prompt_token_ids: msgspec.Raw = PASSED
    citations: msgspec.Raw = PASSED
    search_results: msgspec.Raw = PASSED
    time_info: msgspec.Raw = PASSED
    metadata: msgspec.Raw = PASSED
    moderation: msgspec.Raw = PASSED

    @property
    def failed(self) -> bool:
        """Whether it reports an error, in one of the ways that upstreams have."""
        if self.tells_error:
            return True
        for choice in self.choices or ():  # noqa: SIM110 - a generator takes twice as long as all the rest.
            if choice.finish_reason == "error":
                return True
        return False

    @property
    def tells_error(self) -> bool:
        """Whether it reports an error outside of its choices."""
        if self.error or self.object == "error" or self.type == "error":
            return True
        return isinstance(self.x_groq, dict) and bool(self.x_groq.get("error"))

    @property
    def usages(self) -> tuple[Any, ...]:
        """The usage objects it holds, where upstreams put them: each may be None, or no object at all."""
        found = (self.usage, self.x_groq.get("usage")) if isinstance(self.x_groq, dict) else (self.usage,)
        return found if self.timings is None else (*found, {"timings": self.timings})

    @property
    def has_usage(self) -> bool:
        """Whether it holds a usage object, wherever upstreams put them."""
        if isinstance(self.usage, dict):
            return True
        return isinstance(self.x_groq, dict) and isinstance(self.x_groq.get("usage"), dict)

    @property
    def is_foreign(self) -> bool:
        """Whether it has nothing that a reply of OpenAI's form has: it can only be counted as text."""
        return self.choices is None and not self.has_usage and not self.tells_error

    @property
    def is_idle(self) -> bool:
        """Whether it is a sign of life, and has nothing that a client would wait for."""
        return False

    @property
    def ends(self) -> bool:
        """Whether it is the end itself. In OpenAI's form that is no JSON."""
        return False

    @property
    def is_usage_only(self) -> bool:
        """Whether it is the extra event with a stream's usage. Azure begins with one that has none."""
        return self.choices == [] and isinstance(self.usage, dict)


class OddPart(Part, frozen=True, gc=False, kw_only=True):
    """One that has output beside the texts of its choices: each piece with the index of its choice.

    `uses` has a meter for each thing that the upstream did by itself.
    """

    payloads: tuple[tuple[int, Payload], ...] = ()
    uses: tuple[str, ...] = ()

    @property
    def is_foreign(self) -> bool:
        """As above; what has data counts by that."""
        return not any(each.has_data for _, each in self.payloads) and super().is_foreign

    @property
    def is_usage_only(self) -> bool:
        """As above; what has output in it is for the client."""
        return not self.payloads and super().is_usage_only
