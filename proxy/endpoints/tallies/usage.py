"""Usage objects in OpenAI's form, read: its API and the many that imitate it report them."""

from collections.abc import Mapping
from itertools import combinations
from typing import Final, Protocol

from proxy.endpoints.base import Reading
from proxy.endpoints.tallies.figures import Figures
from proxy.endpoints.tallies.uses import TELLING, told_uses
from proxy.metering.usage import MAX_QUANTITY, METERS, Inference, sane_quantity

TIMINGS: Final = "timings"
"""The member of llama.cpp's answers, beside their usage, that counts tokens as well."""

_INPUT: Final = "prompt_tokens"
_OUTPUT: Final = "completion_tokens"
_TOTAL: Final = "total_tokens"
_HIT: Final = "prompt_cache_hit_tokens"
_MISS: Final = "prompt_cache_miss_tokens"
_SECONDS: Final = "prompt_audio_seconds"
_CACHED: Final = "cached_input_tokens"
_WRITTEN: Final = "cache_write_tokens"
_REASONING: Final = "reasoning_tokens"
_CITED: Final = "citation_tokens"

_PLAIN: Final = frozenset({_INPUT, _OUTPUT, _TOTAL, _HIT, _MISS})
_BESIDE: Final[Mapping[str, str]] = {
    "cached_tokens": _CACHED,
    "num_cached_tokens": _CACHED,
    "cache_read_input_tokens": _CACHED,
    "cache_creation_input_tokens": _WRITTEN,
    _REASONING: _REASONING,
    _CITED: _CITED,
}
"""What some tell beside input and output: Cohere, Moonshot and gateways a cache, Perplexity pages."""

# The meters within input and output, by the member that reports each. A token that belongs to several, such
# as a cached one of an image, counts for the first: together they never exceed the whole.
_PARTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "prompt_tokens_details": (
        ("cached_tokens", _CACHED),
        ("cache_read_input_tokens", _CACHED),
        ("cache_write_tokens", _WRITTEN),
        ("cache_creation_tokens", _WRITTEN),
        ("cache_creation_input_tokens", _WRITTEN),
        ("audio_tokens", "input_audio_tokens"),
        ("image_tokens", "input_image_tokens"),
    ),
    "completion_tokens_details": (
        ("cached_tokens", "cached_output_tokens"),
        (_REASONING, _REASONING),
        ("audio_tokens", "output_audio_tokens"),
        ("image_tokens", "output_image_tokens"),
    ),
}

_NATIVE: Final[Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]]] = {
    "billed_units": (("input", ("input_tokens",)), ("output", ("output_tokens",))),
    "tokens": (("input", ("input_tokens",)), ("output", ("output_tokens",))),
    TIMINGS: (("input", ("prompt_n", "cache_n")), ("output", ("predicted_n",)), ("cached", ("cache_n",))),
}
"""What Cohere and llama.cpp tell in a form of their own: the sum of members makes each figure."""

_WHOLES: Final = ("input_tokens", "output_tokens")
_PARTS_OF_WHOLES: Final = tuple(
    (whole, tuple(dict.fromkeys(part for _, part in parts)))
    for whole, parts in zip(_WHOLES, _PARTS.values(), strict=True)
)
_LEFT_OUT: Final = (
    _REASONING,
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    _CACHED,
    _WRITTEN,
    "cached_output_tokens",
)
"""The parts that a surplus of the total is looked for in, the likeliest first."""


class Report(Protocol):
    """What an upstream has reported in the usage objects of one reply."""

    @property
    def anomalies(self) -> int:
        """How many figures were no sane quantities."""
        ...

    def add(self, usage: object) -> None:
        """Take one usage object into account; null is none."""
        ...

    def reading(self) -> Reading | None:
        """The usage of a reply that has output; None when nothing was reported."""
        ...

    def input_reading(self) -> Reading | None:
        """The usage of a reply whose output is not counted; None when nothing was reported."""
        ...


class UsageReport(Figures):
    """What an upstream has reported. A form of its own counts only where nothing is told in OpenAI's."""

    __slots__ = ("_uses",)

    def __init__(self) -> None:
        super().__init__()
        self._uses: dict[str, int] = {}

    def add(self, usage: object) -> None:
        """Take one usage object into account; anything that is no object is an anomaly, except null."""
        if not isinstance(usage, dict):
            self._note_holder("usage", usage)
            return
        fields = self._fields
        for name, value in usage.items():
            if name in _PLAIN:
                if type(value) is int and fields.get(name, -1) < value <= MAX_QUANTITY:
                    fields[name] = value
                else:
                    self._note(name, value)
            elif name in _PARTS:
                self._note_parts(name, value)
            elif name in _NATIVE:
                self._note_native(name, value)
            elif name in _BESIDE:
                self._note(_BESIDE[name], value)
            elif name in TELLING:
                self._note_uses(name, value)
            elif name == _SECONDS and (seconds := sane_quantity(value)):
                fields[name] = max(seconds, fields.get(name, 0))

    def _note_uses(self, holder: str, value: object) -> None:
        for meter, quantity in told_uses(holder, value):
            if quantity is None:
                self._odd.add(meter)
            else:
                self._uses[meter] = max(quantity, self._uses.get(meter, 0))

    def _note_native(self, holder: str, figures: object) -> None:
        if not isinstance(figures, dict):
            return
        for field, names in _NATIVE[holder]:
            found = [quantity for name in names if (quantity := sane_quantity(figures.get(name))) is not None]
            if found:
                self._fields[field] = max(sum(found), self._fields.get(field, 0))

    def _note_parts(self, holder: str, details: object) -> None:
        if isinstance(details, dict):
            for name, meter in _PARTS[holder]:
                self._note(meter, details.get(name))
        else:
            self._note_holder(holder, details)

    def reading(self) -> Reading | None:
        """Input and output as reported; None when neither was. One that is not even implied is left out.

        A missing input is what the total leaves, or what the cache hits and misses come to; a missing output
        is what the total leaves. What the total has beyond both is charged, too: see `_share`. Parts are cut
        to their whole. A total that is less than both is an anomaly.
        """
        fields = self._fields
        inferred: dict[str, Inference] = {}
        prompt, output, total = fields.get(_INPUT), fields.get(_OUTPUT), fields.get(_TOTAL)
        if prompt is None and _MISS in fields:
            prompt = fields[_MISS] + fields.get(_HIT, 0)
            inferred["input_tokens"] = "parts"
        if prompt is None and output is None:
            prompt, output = fields.get("input"), fields.get("output")
            if prompt is None and output is None:
                return None
            if cached := fields.get("cached"):
                fields.setdefault(_CACHED, cached)
        surpluses: Mapping[str, int] = {}
        anomalies = len(self._odd)
        if total is not None:
            if prompt is None:
                prompt, inferred["input_tokens"] = max(0, total - (output or 0)), "total"
            elif output is None:
                output, inferred["output_tokens"] = max(0, total - prompt), "total"
            surplus = total - prompt - (output or 0)
            if surplus > 0:
                surpluses = self._share(surplus, prompt)
                anomalies += not surpluses.keys() - {*_WHOLES}
            anomalies += surplus < 0
        if _CITED in fields:
            # Perplexity bills the pages that a model read and its reasoning beside both and their total.
            prompt = (prompt or 0) + fields[_CITED]
            output = None if output is None else output + fields.get(_REASONING, 0)
        return self._with_parts(prompt, output, anomalies, inferred, surpluses)

    def input_reading(self) -> Reading | None:
        """The input alone, for replies that have no output; the total stands for it where it is larger."""
        prompt, total = self._fields.get(_INPUT), self._fields.get(_TOTAL)
        if total is None or (prompt is not None and total <= prompt):
            return None if prompt is None else self._with_parts(prompt, None, len(self._odd), {}, {})
        anomalies = len(self._odd) + (prompt is not None)
        return self._with_parts(total, None, anomalies, {"input_tokens": "total"}, {})

    def _share(self, surplus: int, prompt: int) -> Mapping[str, int]:
        """How much of what the total has beyond input and output belongs to which part, or whole.

        Upstreams leave some parts out of their wholes, but not out of the total: xAI its reasoning, others
        sound or what was cached. The fewest reported parts that come to the surplus are it. Mistral reports
        sound in seconds only. Without a prompt the surplus is the prompt; else it is output, as with Gemini,
        which does not report its reasoning.
        """
        parts = [(part, self._fields.get(part, 0)) for part in _LEFT_OUT]
        reported = [(part, quantity) for part, quantity in parts if quantity]
        for count in range(1, len(reported) + 1):
            for some in combinations(reported, count):
                if sum(quantity for _, quantity in some) == surplus:
                    return dict(some)
        if _SECONDS in self._fields:
            return {"input_audio_tokens": surplus}
        return {"output_tokens" if prompt else "input_tokens": surplus}

    def _with_parts(
        self,
        prompt: int | None,
        output: int | None,
        anomalies: int,
        inferred: dict[str, Inference],
        surpluses: Mapping[str, int],
    ) -> Reading:
        fields = self._fields
        if _HIT in fields:
            fields[_CACHED] = max(fields[_HIT], fields.get(_CACHED, 0))
        usage: dict[str, int] = {}
        if prompt is not None:
            usage["input_tokens"] = prompt
        if output is not None:
            usage["output_tokens"] = output
        for name, surplus in surpluses.items():
            whole = METERS[name].part_of or name
            usage[whole] = usage.get(whole, 0) + surplus
            inferred[whole] = "total"
            if name not in fields and name != whole:
                fields[name], inferred[name] = surplus, "total"
        if not fields.keys() <= _PLAIN:
            for name, parts in _PARTS_OF_WHOLES:
                if name in usage:
                    anomalies += self._put_parts(usage, parts, usage[name])
        # That there was none is told as well: then none is charged, whatever the answer has.
        return Reading(usage | self._uses if self._uses else usage, anomalies, inferred)

    def _put_parts(self, usage: dict[str, int], parts: tuple[str, ...], whole: int) -> int:
        """Add the parts of a whole to the usage, cut to it; gives how many were larger than it."""
        anomalies, left = 0, whole
        for part in parts:
            if quantity := self._fields.get(part):
                anomalies += quantity > whole
                if left:
                    usage[part] = quantity = min(quantity, left)
                    left -= quantity
        return anomalies
