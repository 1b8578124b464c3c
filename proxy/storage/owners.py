"""Owner names: locks on files beside the database show which processes are alive.

The lock on `<database>.owner-3` is the name `owner-3`. The system releases it when its process ends, in
whatever way, so a process that gets the lock of a name knows that the former owner is gone. The files stay:
if one were removed while another process has it open, two processes could hold the same name.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxy.storage.faults import StorageFault

MOST_OWNERS: Final = 1000
"""The most processes that can share one file."""


@contextmanager
def claim(database: Path) -> Iterator[str]:
    """Hold the first free name until the end of the context. Raises StorageFault when there is none."""
    for number in range(MOST_OWNERS):
        name = f"owner-{number}"
        descriptor = _locked(_file_of(database, name))
        if descriptor is not None:
            try:
                yield name
            finally:
                os.close(descriptor)
            return
    raise StorageFault(f"all {MOST_OWNERS} owner names are taken")


def gone(database: Path, names: Iterable[str]) -> set[str]:
    """Those of `names` whose process is gone."""
    return {name for name in names if _is_free(_file_of(database, name))}


@contextmanager
def alone(database: Path) -> Iterator[None]:
    """Wait until no other process prepares the database, and hold that right until the end."""
    descriptor = os.open(_file_of(database, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _file_of(database: Path, name: str) -> Path:
    return database.with_name(f"{database.name}.{name}")


def _is_free(file: Path) -> bool:
    descriptor = _locked(file)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _locked(file: Path) -> int | None:
    """A descriptor that holds the lock, or None when another one does."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
