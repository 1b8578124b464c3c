"""The tokens an image takes in a prompt, at most or most likely. Nothing is fetched.

The makers change their rules, and charges go by reported usage. These figures serve holds, and calls whose
upstream reports nothing. Where sources differ, the larger figure stands.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from proxy.metering.dimensions import Size, image_size
from proxy.metering.model_names import bare_name

HEAD_BYTES: Final = 49_152
"""How much of an image's file is read to learn its size."""

_HEAD_CHARS: Final = HEAD_BYTES // 3 * 4
_LOOKS_CHARS: Final = (64, 8_192, _HEAD_CHARS)
_URL_HEADER_CHARS: Final = 256
_TILE_PX: Final = 512
_TILED_EDGE_PX: Final = 2_048
_TILED_SIDE_PX: Final = 768
_TILES_MAX: Final = 8


class Family(Protocol):
    """How one family of models counts an image."""

    def tokens(self, size: Size | None, detail: str) -> int:
        """The most tokens of an image of this size at this detail; the worst case when `size` is None."""
        ...


class Tiles(msgspec.Struct, frozen=True):
    """`base` tokens, and `tile` tokens for each 512-pixel square of the image after it is scaled down."""

    base: int
    tile: int

    def tokens(self, size: Size | None, detail: str) -> int:
        """Low detail costs the base only; every other detail counts as high."""
        if detail == "low":
            return self.base
        return self.base + self.tile * (_TILES_MAX if size is None else _tiles(*size))


class Fit(msgspec.Struct, frozen=True):
    """The limits an image is scaled down to: its longer edge in pixels, and its number of patches."""

    edge_px: int
    patches: int


class Patches(msgspec.Struct, frozen=True):
    """`hundredths` / 100 tokens for each square patch of the image after it is scaled down.

    `fits` gives the limits by detail. A detail it does not name may be any of them. `least` is the floor.
    """

    fits: Mapping[str, Fit]
    hundredths: int = 100
    patch_px: int = 32
    least: int = 0

    def tokens(self, size: Size | None, detail: str) -> int:
        """An image that exceeds the patch limit counts as the limit: its scaling is not imitated."""
        named = self.fits.get(detail)
        fits = (named,) if named is not None else tuple(self.fits.values())
        patches = max(self._patches(size, fit) for fit in fits)
        return max(self.least, -(-patches * self.hundredths // 100))

    def _patches(self, size: Size | None, fit: Fit) -> int:
        width, height = size if size is not None else (fit.edge_px, fit.edge_px)
        longer = max(width, height)
        across, down = (
            -(-side * min(fit.edge_px, longer) // (longer * self.patch_px)) for side in (width, height)
        )
        return min(fit.patches, across * down)


def _one_fit(edge_px: int, patches: int) -> Mapping[str, Fit]:
    return {"any": Fit(edge_px, patches)}


_LOW: Final = Fit(512, 256)
_HIGH: Final = Fit(2_048, 2_500)
_ORIGINAL: Final = Fit(6_000, 10_000)
_UNSCALED: Final = Fit(65_535, 30_000)

_GPT_4O: Final = Tiles(85, 170)
_GPT_5: Final = Tiles(70, 140)
_SMALL: Final = Patches(_one_fit(65_535, 1_536), 162)
_SMALLEST: Final = Patches(_one_fit(65_535, 1_536), 246)
_GPT_5_4: Final = Patches(
    {"low": Fit(2_048, 6_144), "high": _HIGH, "original": _ORIGINAL, "auto": _HIGH}, 120
)
_GPT_5_5: Final = Patches({"low": _LOW, "high": _HIGH, "original": _ORIGINAL, "auto": _ORIGINAL}, 120)
_GPT_5_6: Final = Patches({"low": _LOW, "high": _HIGH, "original": _UNSCALED, "auto": _UNSCALED}, 120)
_GPT_6: Final = Patches(
    {"low": _LOW, "high": Fit(65_535, 2_500), "original": _UNSCALED, "auto": _UNSCALED}, 120
)
# Models of other makers: the smallest patches among them, a quarter more for row marks and a thumbnail, at
# least the highest flat rate among them, and at most about 16,384 tokens, where the largest of them stop.
_UNKNOWN: Final = Patches(_one_fit(65_535, 13_107), 125, patch_px=14, least=1_120)

# What those models take mostly: one token for 28 by 28 pixels.
_LIKELY: Final = Patches(_one_fit(2_048, 4_096), patch_px=28)
_TYPICAL_SIZE: Final = (1_024, 1_024)

# The first pattern that is found in the bare model name decides.
_FAMILIES: Final[tuple[tuple[re.Pattern[str], Family], ...]] = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        (r"^gpt-4o-mini(-|$)", Tiles(2_833, 5_667)),
        (r"^gpt-4\.1-mini(-|$)", Patches(_one_fit(2_048, 6_144), 162)),
        (r"^gpt-4\.1-nano(-|$)", _SMALLEST),
        (r"^(chatgpt-4o|gpt-4o|gpt-4|gpt-4\.1|gpt-4\.5)(-|$)", _GPT_4O),
        (r"^gpt-5-nano(-|$)", _SMALLEST),
        (r"^(gpt-5-mini|gpt-5\.1-codex-mini)(-|$)", _SMALL),
        (r"^(gpt-5|gpt-5\.1)(-|$)", _GPT_5),
        (r"^gpt-5\.2(-|$)", Patches(_one_fit(2_048, 6_144), 120)),
        (r"^gpt-5\.4(-|$)", _GPT_5_4),
        (r"^gpt-5\.5(-|$)", _GPT_5_5),
        (r"^gpt-5\.6(-|$)", _GPT_5_6),
        (r"^(o1|o3)(-|$)", Tiles(75, 150)),
        (r"^o4-mini(-|$)", Patches(_one_fit(65_535, 1_536), 172)),
        (r"^computer-use-preview(-|$)", Tiles(65, 129)),
        (r"^(gpt-\d|o\d)", _GPT_6),
        (r"claude-(instant|2|3)", Patches(_one_fit(1_568, 1_568), patch_px=28)),
        (r"claude", Patches(_one_fit(2_576, 4_784), patch_px=28)),
    )
)


class ImageData(msgspec.Struct, frozen=True):
    """What an image part says: its file in base64 if the request holds it, and the detail asked for.

    `payload_chars` is the length of that file's text inside the request, 0 when the image is elsewhere.
    """

    base64_head: str
    payload_chars: int
    detail: str


def image_data_tokens(image: ImageData, model: str) -> int:
    """The most tokens that an image part which `image_data` has read can take, without fetching it.

    The worst case of the model's family stands for an image that is elsewhere or whose size cannot be read.
    """
    return family_of(model).tokens(image_data_size(image), image.detail)


def image_data_estimate(image: ImageData, model: str) -> int:
    """What a part that `image_data` has read most likely takes: an unknown size counts as a typical one."""
    family = family_of(model)
    likely = _LIKELY if family is _UNKNOWN else family
    tokens = likely.tokens(image_data_size(image) or _TYPICAL_SIZE, image.detail)
    return min(tokens, family.tokens(image_data_size(image), image.detail))


@lru_cache(maxsize=256)
def family_of(model: str) -> Family:
    """How `model` counts images. Unknown names of OpenAI's scheme count as the newest and dearest family."""
    name = bare_name(model)
    return next((family for pattern, family in _FAMILIES if pattern.search(name)), _UNKNOWN)


def image_data(part: Mapping[str, object]) -> ImageData:
    """The part's file and detail. The file is empty when there is none, or the part is of an odd form."""
    holder = part.get("image_url")
    detail = part.get("detail")
    if isinstance(holder, dict):
        detail = holder.get("detail", detail)
        holder = holder.get("url")
    source = part.get("source")
    if holder is None and isinstance(source, dict):
        return _image(source.get("data"), 0, detail)
    if isinstance(holder, str) and holder[:5].lower() == "data:":
        header, comma, _ = holder[:_URL_HEADER_CHARS].partition(",")
        encoded = comma and header.lower().endswith(";base64")
        return _image(holder, len(header) + 1 if encoded else len(holder), detail)
    return _image(None, 0, detail)


def _image(text: object, start: int, detail: object) -> ImageData:
    """Read the file's beginning out of `text` from `start` on."""
    wanted = detail if isinstance(detail, str) else "auto"
    if not isinstance(text, str):
        return ImageData("", 0, wanted)
    return ImageData(text[start : start + _HEAD_CHARS], len(text), wanted)


def image_data_size(image: ImageData) -> Size | None:
    """Width and height of a part that `image_data` has read; None where its file does not tell."""
    # Longer and longer beginnings of the file: most tell the size at once, and decoding it all is slow.
    for chars in _LOOKS_CHARS:
        with suppress(binascii.Error, ValueError):
            size = image_size(base64.b64decode(image.base64_head[:chars]))
            if size is not None:
                return size
    return None


def _tiles(width: int, height: int) -> int:
    """How many 512-pixel squares cover the image, scaled to 2048 x 2048 and then to 768 on its shorter side.

    Both scalings only shrink. The scale is a fraction, so that no rounding adds or drops a tile.
    """
    longer, shorter = max(width, height), min(width, height)
    numerator, denominator = min(_TILED_EDGE_PX, longer), longer
    if shorter * numerator > _TILED_SIDE_PX * denominator:
        numerator, denominator = _TILED_SIDE_PX, shorter
    across, down = (-(-side * numerator // (denominator * _TILE_PX)) for side in (width, height))
    return across * down
