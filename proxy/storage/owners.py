"""Owner names: locks on files beside the database show which processes are alive.

The lock on `<database>.owner-3` belongs to one process. The system releases it when that process ends, in
whatever way, so a process that gets the lock knows that the former owner is gone.

The name itself also has the file's number in its file system, as in `owner-3-81f2`. No two files that are
open have the same one, also after they were deleted. So whatever is deleted or put in a file's place, no
process gets the name of one that lives. A process whose file was taken away is gone as far as others can
tell: it has to end, and must not use the ledger any more.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Final

import msgspec

from proxy.storage.faults import StorageFault

MOST_OWNERS: Final = 1000
"""The most processes that can share one file."""
WAIT_SECONDS: Final = 0.02
"""How often one who waits for others tries again."""

_NAME: Final = re.compile(r"(?P<slot>owner-\d+)-(?P<number>[0-9a-f]+)")


class Owner(msgspec.Struct, frozen=True):
    """A name that this process has, and the file whose lock shows it, which is open as `descriptor`."""

    name: str
    file: Path
    descriptor: int


@contextmanager
def claim(database: Path) -> Iterator[Owner]:
    """Hold the first free name until the end of the context. Raises StorageFault when there is none."""
    for number in range(MOST_OWNERS):
        slot = f"owner-{number}"
        file = _file_of(database, slot)
        descriptor = _locked(file, os.O_CREAT)
        if descriptor is not None:
            try:
                yield Owner(f"{slot}-{os.fstat(descriptor).st_ino:x}", file, descriptor)
            finally:
                os.close(descriptor)
            return
    raise StorageFault(f"all {MOST_OWNERS} owner names are taken")


def take(database: Path, name: str) -> int | None:
    """A descriptor that holds the lock on one name until it is closed; None while another process has it."""
    return _locked(_file_of(database, name), os.O_CREAT)


def gone(database: Path, names: Iterable[str]) -> set[str]:
    """Those of `names` whose process is gone, or has lost its file. A name may lack the file's number."""
    return {name for name in names if not _is_held(database, name)}


@contextmanager
def alone(database: Path, *, abandoned: Event | None = None) -> Iterator[None]:
    """Wait until no other process prepares the database, and hold that right until the end.

    The wait ends with a StorageFault when `abandoned` is set meanwhile.
    """
    file = _file_of(database, "lock")
    abandoned = abandoned or Event()
    while (descriptor := _locked(file, os.O_CREAT)) is None:
        if abandoned.wait(WAIT_SECONDS):
            raise StorageFault("it was given up while another process prepared it")
    try:
        yield
    finally:
        os.close(descriptor)


def _file_of(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}.{name}")


def _is_held(database: Path, name: str) -> bool:
    found = _NAME.fullmatch(name)
    slot, number = (found["slot"], found["number"]) if found else (name, None)
    file = _file_of(database, slot)
    try:
        if number is not None and file.stat().st_ino != int(number, 16):
            return False
        descriptor = _locked(file)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _locked(file: Path, flags: int = 0) -> int | None:
    """A descriptor that holds the lock on what has this name now, or None when another one has the lock."""
    while True:
        descriptor = os.open(file, os.O_RDWR | flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, file):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        # It was deleted before it was locked, and shows nothing to those who look for it by its name.
        os.close(descriptor)


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
