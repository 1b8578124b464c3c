"""A request for text, which chats and completions have in common: output bounds, streaming, choices."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import msgspec

from proxy.endpoints.base import ForwardPlan, Tally
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, beginning, patched
from proxy.endpoints.tallies.produced import NO_ECHO, Echo
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import Usage

OutputBound = Annotated[int, msgspec.Meta(ge=1, description="at most so many tokens of output")]
ChoiceCount = Annotated[int, msgspec.Meta(ge=1)]


class GenerationAsk(msgspec.Struct, frozen=True):
    """One request for text. `named_bounds` are the client's own bounds on output tokens, by field.

    `default_bound` is the API's when the client names none. `count_input` counts the input by a tokenizer.
    With `shows_usage` the client asked for the usage of a stream.
    """

    body: JsonBody
    model: str
    stream: bool
    choices: int
    named_bounds: Mapping[str, int]
    input_tokens_max: int
    count_input: Callable[[JsonBody, str], int]
    shows_usage: bool
    default_bound: int | None = None
    bound_field: str | None = None
    echo: Echo = NO_ECHO
    end_user: str = ""
    estimate_input: Callable[[JsonBody, str], int] | None = None

    def ceiling(self) -> Ceiling:
        """The most input tokens there can be, and output for each choice."""
        return self._ceiling(self.input_tokens_max)

    def ceiling_exact(self) -> Ceiling:
        """The same with the input as counted. Raises VocabularyError when the vocabulary cannot be loaded."""
        return self._ceiling(self.count_input(self.body, self.model))

    def estimate(self, model: str) -> Usage:
        """The input as `estimate_input` finds it, or as counted without one. Raises VocabularyError."""
        estimated = (self.estimate_input or self.count_input)(self.body, model)
        return {"input_tokens": min(estimated, self.input_tokens_max)}

    def input_text_length(self) -> int:
        """The body's length without long images and sounds."""
        return self.body.short_bytes

    def _ceiling(self, input_tokens: int) -> Ceiling:
        # The largest of several bounds: an upstream may know only that one.
        bound = max(self.named_bounds.values()) if self.named_bounds else self.default_bound
        return Ceiling({"input_tokens": input_tokens}, "output_tokens", bound, self.choices)

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name, the clamped bound, and `include_usage`.

        A clamped bound goes into each field the client named, and never above the client's own.
        """
        changes: dict[str, bytes | None] = {}
        if plan.model != self.model:
            changes["model"] = msgspec.json.encode(plan.model)
        if self.stream and plan.include_usage and not self.shows_usage:
            options = fields.stream_options(self.body)
            changes["stream_options"] = patched(options, {"include_usage": b"true"})
        if plan.output_bound is not None:
            field = self.bound_field or plan.output_bound_field
            bounds = self.named_bounds or {field: self.default_bound or plan.output_bound}
            for name, bound in bounds.items():
                changes[name] = b"%d" % min(bound, plan.output_bound)
        return self.body.patched(changes)

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally for a stream or a whole body, whichever was asked for."""
        if self.stream:
            return StreamTally(swallow_usage=not self.shows_usage, keep_usage=keep_usage, echo=self.echo)
        return WholeTally(keep_usage=keep_usage, echo=self.echo)


def named_bounds(body: JsonBody, names: Sequence[str]) -> dict[str, int]:
    """The bounds on output tokens that the client named. Raises Refusal `invalid_value`."""
    bounds = {}
    for name in names:
        bound = fields.whole(body, name, fields.TOKENS_MAX)
        if bound is not None:
            bounds[name] = bound
    return bounds


def shows_usage(body: JsonBody) -> bool:
    """Whether a stream's usage was asked for. Raises Refusal `invalid_value`."""
    asked = fields.stream_options(body).get("include_usage")
    if asked is None or beginning(asked) in {b"null", b"false"}:
        return False
    if beginning(asked) != b"true":
        raise fields.wrong(body, "stream_options", "an object whose `include_usage` is true or false")
    return True
