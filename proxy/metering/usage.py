"""Meters and usage: what is counted, and quantities by meter."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

Usage = Mapping[str, int]
"""Whole quantities by meter name. A meter that is part of another is counted in that one too."""

Needed = tuple[str | tuple[str, ...], ...]
"""The meters that calls use: each must be priced, and of several within one must be."""

Basis = Literal["reported", "counted", "per_call", "void", "recovered"]
"""Where the quantities of a charge come from: how a call's usage is known."""

Inference = Literal["total", "parts", "counted", "assumed"]
"""How a figure was found that the upstream did not give itself. `total`: its `total_tokens` proves it.
`parts`: it is the sum of parts that it gave. `counted`: Farebox counted it. `assumed`: the configuration
says what is charged where the upstream does not tell."""

MAX_QUANTITY: Final = 10**8
"""No call uses more of anything; a larger figure from an upstream is absurd."""


class Meter(msgspec.Struct, frozen=True):
    """One kind of quantity. `part_of` names the meter whose quantity includes this one's.

    `scale` is how many of its quantity make one: where parts of one are used, they are what is counted.
    """

    name: str
    noun: str
    part_of: str | None = None
    scale: int = 1

    @property
    def is_tokens(self) -> bool:
        """Whether tokens are counted."""
        return self.noun == "token"

    @property
    def is_over_time(self) -> bool:
        """Whether what is there is counted, by the hour."""
        return self.noun.endswith(" hour")


METERS: Final[dict[str, Meter]] = {
    meter.name: meter
    for meter in (
        Meter("requests", "request"),
        Meter("input_tokens", "token"),
        Meter("cached_input_tokens", "token", "input_tokens"),
        Meter("cache_write_tokens", "token", "input_tokens"),
        Meter("cache_write_1h_tokens", "token", "input_tokens"),
        Meter("cache_write_12h_tokens", "token", "input_tokens"),
        Meter("input_audio_tokens", "token", "input_tokens"),
        Meter("input_image_tokens", "token", "input_tokens"),
        Meter("output_tokens", "token"),
        Meter("cached_output_tokens", "token", "output_tokens"),
        Meter("reasoning_tokens", "token", "output_tokens"),
        Meter("output_audio_tokens", "token", "output_tokens"),
        Meter("output_image_tokens", "token", "output_tokens"),
        Meter("web_searches", "search"),
        Meter("server_tools", "tool"),
        Meter("search_units", "search unit"),
        Meter("file_searches", "search"),
        Meter("containers", "container"),
        Meter("images", "image"),
        Meter("characters", "character"),
        Meter("audio_seconds", "second"),
        Meter("video_seconds", "second"),
        Meter("credits", "credit", scale=1_000_000),
        Meter("results", "result"),
        Meter("pages", "page"),
        Meter("urls", "URL"),
        Meter("run_seconds", "second", scale=1_000_000),
        Meter("gib_hours", "GiB hour", scale=1_000_000),
        Meter("gb_hours", "GB hour", scale=1_000_000),
        Meter("cached_token_hours", "token hour", scale=1_000_000),
        Meter("unit_hours", "unit hour", scale=1_000_000),
        Meter("upstream_cost", "US dollar", scale=1_000_000_000),
    )
}

SURCHARGES: Final = frozenset({"web_searches", "server_tools"})
"""Meters of what a request turns on: a call uses them because it asks, whatever its answer reports."""

HIDDEN: Final = frozenset({"reasoning_tokens"})
"""What an answer need not show: only an upstream's usage tells of it."""

ONE_CALL: Final[Usage] = {"requests": 1}
"""What every call uses, whatever else it does."""


def each_needed(meters: Needed) -> Iterator[tuple[str, ...]]:
    """Each meter that must be priced, or those of which one must be."""
    return ((meter,) if isinstance(meter, str) else meter for meter in meters)


def said(needed: Iterable[tuple[str, ...]]) -> str:
    """Meters that are needed, as a sentence names them."""
    return " and ".join(" or ".join(either) for either in needed)


def tokens_of(usage: Usage) -> int:
    """All tokens of a usage, as limits of tokens a minute count them: those of parts are in their wholes."""
    return usage.get("input_tokens", 0) + usage.get("output_tokens", 0)


def sane_quantity(value: object) -> int | None:
    """A reported quantity as a whole number: None when it is missing, negative, absurd or not a number.

    Floats, which Cohere reports, are rounded up. Numeric strings are read.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) <= 9 else None
    if isinstance(value, float):
        value = -int(-value // 1) if 0 <= value <= MAX_QUANTITY else None
    if isinstance(value, int) and 0 <= value <= MAX_QUANTITY:
        return value
    return None
