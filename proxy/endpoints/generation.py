"""A request for text, as several families have it: output bounds, streaming, choices."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from proxy.endpoints.base import ForwardPlan, Tally
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.endpoints.reading import fields
from proxy.endpoints.reading.body import JsonBody, patched
from proxy.endpoints.tallies.produced import NO_ECHO, Echo
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import Usage


class NamedBound(msgspec.Struct, frozen=True, gc=False):
    """The bound on each choice's output that a request names, and the names it uses for that.

    The smallest of several stands, so that none of them is passed. `tokens` is None where there is no bound:
    a number below zero says so (`is_given`), null and absence leave it to the API.
    """

    names: tuple[str, ...] = ()
    tokens: int | None = None
    is_given: bool = False

    def lowered(self, most: int | None) -> int | None:
        """What goes up when each choice may have no more than `most`; None for no bound at all."""
        if most is None or self.tokens is None:
            return self.tokens if most is None else most
        return max(1, min(self.tokens, most))


NO_BOUND: Final = NamedBound()


class GenerationAsk(msgspec.Struct, frozen=True):
    """One request for text. `bound` is the client's own on the output tokens of each choice.

    `default_bound` is the API's when the client names none. `count_input` counts the input by a tokenizer,
    of which `input_text_bytes` are text. With `shows_usage` the client asked for the usage of a stream.
    `beside` are output tokens that may come beyond the bound.
    """

    body: JsonBody
    model: str
    stream: bool
    choices: int
    bound: NamedBound
    input_tokens_max: int
    input_text_bytes: int
    count_input: Callable[[JsonBody, str], int]
    shows_usage: bool
    default_bound: int | None = None
    bound_field: str | None = None
    echo: Echo = NO_ECHO
    end_user: str = ""
    labels: str = ""
    estimate_input: Callable[[JsonBody, str], int] | None = None
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS
    beside: int = 0

    def ceiling(self) -> Ceiling:
        """The most input tokens there can be, and output for each choice."""
        return self._ceiling(self.input_tokens_max)

    def ceiling_exact(self) -> Ceiling:
        """The same with the input as counted. Raises VocabularyError when the vocabulary cannot be loaded."""
        counted = self.count_input(self.body, self.model)
        return self._ceiling(min(counted, self.input_tokens_max))

    def estimate(self, model: str) -> Usage:
        """The input as `estimate_input` finds it, or as counted without one. Raises VocabularyError."""
        estimated = (self.estimate_input or self.count_input)(self.body, model)
        return {"input_tokens": min(estimated, self.input_tokens_max)}

    def input_text_length(self) -> int:
        """What is counted as text, or the body without its long strings where that is more to decode."""
        return max(self.input_text_bytes, self.body.short_bytes)

    def _ceiling(self, input_tokens: int) -> Ceiling:
        # Some upstreams take 0 for no bound at all, so that the rate card's has to be held then.
        bound = self.bound.tokens if self.bound.is_given else self.default_bound
        return Ceiling(
            {"input_tokens": input_tokens}, "output_tokens", bound or None, self.choices, self.beside
        )

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name, the bound on the output, and `include_usage`.

        The bound goes up under the upstream's own name and no other: it could take another one for more.
        """
        return self.body.patched(self._changes(plan))

    def _changes(self, plan: ForwardPlan) -> dict[str, bytes | None]:
        """The members that one target gets otherwise than the client wrote them; None for those left out."""
        changes: dict[str, bytes | None] = {}
        if plan.model != self.model:
            changes["model"] = msgspec.json.encode(plan.model)
        if self.stream and plan.include_usage and not self.shows_usage:
            options = fields.stream_options(self.body)
            changes["stream_options"] = patched(options, {"include_usage": b"true"})
        own = self.bound_field or plan.output_bound_field
        for name in self.bound.names:
            if name != own:
                changes[name] = None
        if (bound := self._bound_sent(plan)) is not None:
            changes[own] = b"%d" % bound
        return changes

    def _bound_sent(self, plan: ForwardPlan) -> int | None:
        if self.bound.is_given or self.default_bound is None:
            return self.bound.lowered(plan.output_bound)
        return min(self.default_bound, plan.output_bound or self.default_bound)

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally for a stream or a whole body, whichever was asked for."""
        if self.stream:
            return StreamTally(swallow_usage=not self.shows_usage, keep_usage=keep_usage, echo=self.echo)
        return WholeTally(keep_usage=keep_usage, echo=self.echo)
