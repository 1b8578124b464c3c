"""The tokens of pictures that a model of pictures is given to work from, and those of what it draws.

Nothing is decoded but the head of a file. The makers change their rules, and charges go by reported usage:
these figures serve holds, and calls whose upstream reports nothing.
"""

from typing import Final

from proxy.metering.dimensions import Size, image_size
from proxy.metering.images import HEAD_BYTES, Fit, Patches

UNFINISHED_TOKENS: Final = 100
"""What OpenAI bills for each unfinished picture of a stream, beside the finished one."""

_LOOKS_BYTES: Final = (64, 8_192, HEAD_BYTES)

# OpenAI scales a picture until its shorter side is 512 pixels, and adds so much where its features are to be
# kept: the first for a square, the second for any other.
_BASE_TOKENS: Final = 65
_TILE_TOKENS: Final = 129
_KEPT_SQUARE_TOKENS: Final = 4_160
_KEPT_TOKENS: Final = 6_240

# Other makers: the smallest patches among them, with a quarter more for row marks.
_ANY: Final = Patches({"any": Fit(65_535, 13_107)}, 125, patch_px=14)


def file_size(file: memoryview) -> Size | None:
    """Width and height of a picture's file, read from its beginning; None where that does not tell."""
    for length in _LOOKS_BYTES:
        size = image_size(bytes(file[:length]))
        if size is not None or length >= len(file):
            return size
    return None


def given_tokens_max(size: Size) -> int:
    """The most tokens that a model of pictures takes for one that it is given."""
    return max(_ANY.tokens(size, "any"), _tiles_tokens(size) + _KEPT_TOKENS)


def given_tokens(size: Size, *, keeps_features: bool) -> int:
    """What it most likely takes, by OpenAI's rule."""
    width, height = size
    kept = _KEPT_SQUARE_TOKENS if width == height else _KEPT_TOKENS
    return _tiles_tokens(size) + (kept if keeps_features else 0)


def _tiles_tokens(size: Size) -> int:
    return _BASE_TOKENS + _TILE_TOKENS * -(-max(size) // min(size))
