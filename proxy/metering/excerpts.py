"""A file that lies within other bytes, which are not copied: as a library reads it, and by its offsets."""

import io
from typing import Final

import msgspec

READS_MAX: Final = 4_096
"""How often the library may read of a file or seek in it: so often takes some milliseconds."""
READ_BYTES_MAX: Final = 262_144
"""How much of it the library may read in all."""


class FileBytes(msgspec.Struct, frozen=True, gc=False):
    """A file within other bytes, which are not copied."""

    data: bytes
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.stop - self.start

    def at(self, offset: int, count: int) -> bytes:
        """So many of its bytes, or what there is of them."""
        begin = self.start + offset
        return self.data[begin : min(begin + count, self.stop)]

    def number(self, offset: int, count: int) -> int:
        """They as a number whose lowest byte is the first."""
        return int.from_bytes(self.at(offset, count), "little")


class Excerpt:
    """A file within other bytes, which are not copied, as a library reads it: so often, and so much."""

    def __init__(self, data: bytes, start: int, stop: int, reads_max: int = READS_MAX) -> None:
        self._data = data
        self._start = start
        self._stop = stop
        self._at = start
        self._reads_left = reads_max
        self._bytes_left = READ_BYTES_MAX

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises OSError where that is more than may be read in all."""
        there = max(0, self._stop - self._at)
        count = there if size < 0 else min(size, there)
        self._spend(count)
        begin, self._at = self._at, self._at + count
        return self._data[begin : self._at]

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, which may be behind the end. Raises OSError for one before the file."""
        self._spend(0)
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._stop}[whence]
        if base + offset < self._start:
            raise OSError("nothing lies before a file")
        self._at = base + offset
        return self.tell()

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at - self._start

    def _spend(self, count: int) -> None:
        self._reads_left -= 1
        self._bytes_left -= count
        if min(self._reads_left, self._bytes_left) < 0:
            raise OSError("more of a sound would be read than may be")
