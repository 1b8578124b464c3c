"""The tallies of pictures: the end of an answer waits for its charge, all that comes before passes."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from proxy.endpoints.base import Tally
from proxy.endpoints.openai.images.part import PicturePart, read_pictures
from proxy.endpoints.openai.images.usage import ImageUsage
from proxy.endpoints.reading.body import LARGE_BYTES
from proxy.endpoints.reading.body_faults import utf8_fault
from proxy.endpoints.reading.long_text import BrokenText, LongName, LongText, shorten
from proxy.endpoints.tallies.lines import name_and_data
from proxy.endpoints.tallies.members import Part
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally

_IMAGE: Final = ("images",)
_HEAD_BYTES: Final = 1_024
"""How far into an event its JSON begins at most."""

_Shortened = tuple[bytes, Sequence[LongText]]


class PictureStreamTally(StreamTally):
    """Reads the events of a stream that is to have `count` pictures.

    None of its events says that it is the last: it is the one that has the last finished picture. A picture
    counts from its first event on, since the upstream has begun to draw it.
    """

    has_data = True
    """What is being drawn does not show before it is there, and only the usage at the end tells of it."""

    def __init__(self, count: int, *, keep_usage: bool = False) -> None:
        super().__init__(read=self._read_pictures, report=ImageUsage, keep_usage=keep_usage)
        self._texts: Sequence[LongText] = ()
        self._count = count
        self._begun_one = False
        self._finished_ones = 0

    @property
    def choices_finished(self) -> bool:
        """Every picture that was begun is finished."""
        return bool(self._finished_ones) and not self._begun_one

    def _opened(self, event: bytes) -> tuple[bytes, bytes | None]:
        """Of a large event with a picture the data is short: no second copy of the picture is made."""
        short, texts = _shortened(event) if len(event) > LARGE_BYTES else (event, ())
        if texts:
            name, data = name_and_data(short)
            part = read_pictures(data, texts) if data is not None else None
            if part is not None and not part.is_foreign:
                self._texts = texts
                return name, data
        return name_and_data(event)

    def _read_pictures(self, data: bytes) -> Part | None:
        return read_pictures(data, self._texts)

    def _read(self, data: bytes, name: bytes) -> Part | None:
        part = super()._read(data, name)
        self._texts = ()
        if isinstance(part, PicturePart) and part.finished and part.may_end:
            return replace(part, is_last=self._finished_ones >= self._count)
        return part

    def _note(self, part: Part) -> None:
        super()._note(part)
        if isinstance(part, PicturePart) and (part.unfinished or part.finished):
            if not self._begun_one:
                self._produced.use(_IMAGE)
            self._begun_one = part.unfinished
            self._finished_ones += part.finished


def _shortened(event: bytes) -> _Shortened:
    """An event with marks for its long strings, and these; without any where it cannot be made short."""
    begin = event.find(b"{", 0, _HEAD_BYTES)
    if begin < 0 or b'"' in event[:begin] or utf8_fault(event) is not None:
        return event, ()
    try:
        short, texts = shorten(event)
    except (LongName, BrokenText):
        return event, ()
    return (short, texts) if len(short) <= LARGE_BYTES else (event, ())


def tally_of(count: int, *, stream: bool, keep_usage: bool) -> Tally:
    """A fresh tally of an answer with so many pictures."""
    if stream:
        return PictureStreamTally(count, keep_usage=keep_usage)
    return WholeTally(read=read_pictures, report=ImageUsage, keep_usage=keep_usage)
