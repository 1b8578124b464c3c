"""Usage objects in OpenAI's form, read: its API and the many that imitate it report them."""

from collections.abc import Mapping
from typing import Final

from proxy.endpoints.base import Reading
from proxy.metering.usage import MAX_QUANTITY, sane_quantity

_INPUT: Final = "prompt_tokens"
_OUTPUT: Final = "completion_tokens"
_TOTAL: Final = "total_tokens"
_HIT: Final = "prompt_cache_hit_tokens"
_MISS: Final = "prompt_cache_miss_tokens"
_CACHED: Final = "cached_input_tokens"

_PLAIN: Final = frozenset({_INPUT, _OUTPUT, _TOTAL, _HIT, _MISS})

# The meters within input and output, by the member that reports each. A token that belongs to several, such
# as a cached one of an image, counts for the first: together they never exceed the whole.
_PARTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "prompt_tokens_details": (
        ("cached_tokens", _CACHED),
        ("cache_write_tokens", "cache_write_tokens"),
        ("audio_tokens", "input_audio_tokens"),
        ("image_tokens", "input_image_tokens"),
    ),
    "completion_tokens_details": (
        ("cached_tokens", "cached_output_tokens"),
        ("reasoning_tokens", "reasoning_tokens"),
        ("audio_tokens", "output_audio_tokens"),
        ("image_tokens", "output_image_tokens"),
    ),
}


class UsageReport:
    """What an upstream has reported: the largest figure of each field in several usage objects, never a sum.

    A field that is no sane quantity counts as missing and as an anomaly; null is only missing.
    """

    __slots__ = ("_fields", "_odd")

    def __init__(self) -> None:
        self._fields: dict[str, int] = {}
        self._odd: set[str] = set()

    def add(self, usage: object) -> None:
        """Take one usage object into account; anything that is no object is an anomaly, except null."""
        if not isinstance(usage, dict):
            if usage is not None:
                self._odd.add("usage")
            return
        note = self._note
        for name, value in usage.items():
            if name in _PLAIN:
                note(name, value)
            elif name in _PARTS:
                self._note_parts(name, value)

    def _note_parts(self, holder: str, details: object) -> None:
        if isinstance(details, dict):
            for name, meter in _PARTS[holder]:
                self._note(meter, details.get(name))
        elif details is not None:
            self._odd.add(holder)

    def _note(self, field: str, value: object) -> None:
        if value is None:
            return
        quantity = value if type(value) is int and 0 <= value <= MAX_QUANTITY else sane_quantity(value)
        if quantity is None:
            self._odd.add(field)
        elif quantity > self._fields.get(field, -1):
            self._fields[field] = quantity

    @property
    def anomalies(self) -> int:
        """How many fields were no sane quantity."""
        return len(self._odd)

    def reading(self) -> Reading | None:
        """Input and output as reported; None when neither was. One that is not even implied is left out.

        A missing input is what the total leaves, or what the cache hits and misses come to; a missing output
        is what the total leaves. Some upstreams leave reasoning out of the output but not out of the total:
        it is added then. Parts are cut to their whole. A total that does not add up is an anomaly.
        """
        fields = self._fields
        prompt, output, total = fields.get(_INPUT), fields.get(_OUTPUT), fields.get(_TOTAL)
        anomalies = len(self._odd)
        if prompt is None and _MISS in fields:
            prompt = fields[_MISS] + fields.get(_HIT, 0)
        if prompt is None and output is None:
            return None
        if total is not None:
            if prompt is None:
                prompt = max(0, total - (output or 0))
            elif output is None:
                output = max(0, total - prompt)
            elif total == prompt + output + fields.get("reasoning_tokens", 0):
                output = total - prompt
            anomalies += total != prompt + (output or 0)
        return self._with_parts(prompt, output, anomalies)

    def input_reading(self) -> Reading | None:
        """The input alone, for replies that have no output; the total stands for it where it is missing."""
        prompt = self._fields.get(_INPUT, self._fields.get(_TOTAL))
        return None if prompt is None else self._with_parts(prompt, None, len(self._odd))

    def _with_parts(self, prompt: int | None, output: int | None, anomalies: int) -> Reading:
        fields = self._fields
        if _HIT in fields:
            fields[_CACHED] = max(fields[_HIT], fields.get(_CACHED, 0))
        usage: dict[str, int] = {}
        if prompt is not None:
            usage["input_tokens"] = prompt
            anomalies += self._put_parts(usage, _PARTS["prompt_tokens_details"], prompt)
        if output is not None:
            usage["output_tokens"] = output
            anomalies += self._put_parts(usage, _PARTS["completion_tokens_details"], output)
        return Reading(usage, anomalies)

    def _put_parts(self, usage: dict[str, int], parts: tuple[tuple[str, str], ...], whole: int) -> int:
        """Add the parts of a whole to the usage, cut to it; gives how many were larger than it."""
        if self._fields.keys() <= _PLAIN:
            return 0
        anomalies, left = 0, whole
        for _, part in parts:
            if quantity := self._fields.get(part):
                anomalies += quantity > whole
                if left:
                    usage[part] = quantity = min(quantity, left)
                    left -= quantity
        return anomalies
