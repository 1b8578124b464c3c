"""One request for pictures."""

from collections.abc import Callable, Mapping

import msgspec

from proxy.endpoints.base import ForwardPlan, Tally
from proxy.endpoints.features import Feature
from proxy.endpoints.openai.images.tally import tally_of
from proxy.endpoints.reading.body import JsonBody
from proxy.metering.ceiling import Ceiling
from proxy.metering.dimensions import Size
from proxy.metering.pictures import UNFINISHED_TOKENS, given_tokens, given_tokens_max
from proxy.metering.tokens import COUNTER
from proxy.metering.usage import Usage

FRAMING_TOKENS = 64
"""The most that a prompt takes beside its text, and each picture beside itself."""
PROMPTS = ("prompt", "negative_prompt")


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """What is to be drawn: so many pictures, of so many frames each; `unfinished` ones are streamed of each.

    `writes` where another model writes an SVG from it, which is output as well.
    """

    count: int = 1
    frames: int = 1
    unfinished: int = 0
    writes: bool = False

    @property
    def choices(self) -> int:
        """How often as much output may come as a rate card allows for one."""
        return self.count * self.frames + self.writes


class ImageAsk(msgspec.Struct, frozen=True):
    """One request for pictures, with the sizes of those that it gives to work from, as far as they tell.

    `rename` gives the body with another name of the model. All of the input may be billed for each picture.
    """

    body: JsonBody
    model: str
    stream: bool
    drawn: Drawn
    given: tuple[Size, ...]
    rename: Callable[[str], bytes]
    parameters: Mapping[str, str]
    end_user: str = ""
    labels: str = ""
    features: tuple[Feature, ...] = ()

    def ceiling(self) -> Ceiling:
        """The most there can be: as much text as bytes, and what a rate card allows for each picture."""
        return self._ceiling(self.input_text_length())

    def ceiling_exact(self) -> Ceiling:
        """The same with the text as counted. Raises VocabularyError when the vocabulary cannot be loaded."""
        return self._ceiling(min(self._text_tokens(self.model), self.input_text_length()))

    def estimate(self, model: str) -> Usage:
        """The text and the given pictures, once. What is drawn is counted in the answer."""
        keeps = self.parameters.get("input_fidelity") == "high"
        given = sum(given_tokens(size, keeps_features=keeps) for size in self.given)
        return {"input_tokens": self._text_tokens(model) + given, "images": 0}

    def input_text_length(self) -> int:
        """How long the prompts are in the body."""
        return sum(map(self.body.bytes_of, PROMPTS))

    def _text_tokens(self, model: str) -> int:
        texts = [text for name in PROMPTS if isinstance(text := self.body.get(name), str)]
        return COUNTER.total(texts, model)

    def _ceiling(self, text_tokens: int) -> Ceiling:
        drawn = self.drawn
        framing = FRAMING_TOKENS * (1 + len(self.given))
        given = text_tokens + framing + sum(map(given_tokens_max, self.given))
        return Ceiling(
            {"input_tokens": drawn.count * given, "images": drawn.count},
            "output_tokens",
            choices=drawn.choices,
            beside=drawn.count * drawn.unfinished * UNFINISHED_TOKENS,
            firm=True,
            either=True,
        )

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The client's body with the target's model name."""
        return self.rename(plan.model)

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally for a stream or a whole answer, whichever was asked for."""
        return tally_of(self.drawn.count, stream=self.stream, keep_usage=keep_usage)
