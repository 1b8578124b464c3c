"""The files that a process has open, and whether they are still the ones under their names.

SQLite goes on with a file that was deleted, moved or replaced by another, and what it writes there is lost as
soon as the last process lets go of it. Another process makes a new file of that name meanwhile, and neither
sees what the other one writes.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from proxy.storage.faults import StorageFault

DESCRIPTORS: Final = Path("/dev/fd")
"""Linux and macOS list the descriptors of a process here."""

_Identity = tuple[int, int]


class OpenFile(msgspec.Struct, frozen=True):
    """A file by its name, and as it was opened: a descriptor, and its number in its file system."""

    path: str
    descriptor: int
    identity: _Identity
    may_be_empty: bool


class OpenFiles:
    """A database and the `others` that go with it. Raises StorageFault unless this process has all open.

    While a file is open no other one gets its number, so that one look at the name tells whether it is the
    same file. Whoever has opened the files keeps them open for as long as this is asked.
    """

    def __init__(self, database: Path, others: Iterable[Path]) -> None:
        opened = _opened()
        self._files = (
            _found(database, opened, may_be_empty=False),
            *(_found(path, opened, may_be_empty=True) for path in others),
        )

    def loss(self) -> str:
        """What has become of the first file that is not there any more; empty when all are."""
        for file in self._files:
            try:
                status = os.stat(file.path)  # noqa: PTH116 - this is several times a second, and quicker.
            except OSError as error:
                return f"{file.path} was taken away: {error.strerror}"
            if (status.st_dev, status.st_ino) != file.identity and not _is_same(status, file.descriptor):
                return f"{file.path} was replaced by another file"
            if not (status.st_size or file.may_be_empty):
                return f"{file.path} was emptied"
        return ""


def _is_same(status: os.stat_result, descriptor: int) -> bool:
    """Whether it is the open file after all: some file systems give one another number while it is open."""
    try:
        return os.path.samestat(status, os.fstat(descriptor))
    except OSError:
        return False


def _found(path: Path, opened: dict[_Identity, int], *, may_be_empty: bool) -> OpenFile:
    try:
        status = path.stat()
    except OSError as error:
        raise StorageFault(f"{path} was taken away: {error.strerror}") from error
    identity = (status.st_dev, status.st_ino)
    if identity not in opened:
        raise StorageFault(f"{path} was replaced while it was opened")
    return OpenFile(str(path), opened[identity], identity, may_be_empty)


def _opened() -> dict[_Identity, int]:
    """The descriptors of this process by the identity of their files."""
    opened = {}
    for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 - they are names, not files to look at.
        with contextlib.suppress(OSError):
            status = os.fstat(int(name))
            opened[status.st_dev, status.st_ino] = int(name)
    return opened
