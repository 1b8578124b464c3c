"""Quantities as APIs tell them, decimals among them, as the whole numbers that a meter counts. No floats."""

import re
from fractions import Fraction
from functools import lru_cache
from math import ceil
from typing import Final

from proxy.metering.usage import MAX_QUANTITY, METERS

TEXT_CHARS_MAX: Final = 64
"""What is longer is no quantity."""

_DECIMAL: Final = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")


@lru_cache(maxsize=1024)
def quantity_of(text: str, meter: str) -> int | None:
    """What a meter counts for a decimal number of it; None for what is none, negative or absurd.

    What a meter counts only whole is rounded up, as what has begun counts. Smaller parts than those that it
    counts are rounded to the nearest: they are what a float has left in the sender's own sum.
    """
    number = number_of(text)
    return None if number is None else counted(number, meter)


def number_of(text: str) -> Fraction | None:
    """The number that a text has; None for none, one that is negative, and one that is absurdly long."""
    if len(text) > TEXT_CHARS_MAX or not _DECIMAL.fullmatch(text):
        return None
    return Fraction(text)


def counted(number: Fraction, meter: str) -> int | None:
    """What a meter counts for so much of it; None for more than any call may use."""
    scale = METERS[meter].scale
    exact = number * scale
    quantity = ceil(exact) if scale == 1 else round(exact)
    return quantity if quantity <= MAX_QUANTITY * scale else None
