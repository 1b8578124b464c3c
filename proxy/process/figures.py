"""The folder in which workers share their figures.

Its lock shows that somebody uses it. The supervisor takes it, its workers inherit it, and the system releases
it when the last of them has ended, however that is. What nobody has locked is left over from processes that
were killed.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = "farebox-figures-"
MARK: Final = "locked"
"""The file that says that whoever uses the folder has its lock. Earlier versions took no lock."""
YOUNG_SECONDS: Final = 60.0
"""How old a folder without the mark has to be: the processes that use it may not have begun yet."""
_PID: Final = re.compile(r"_(\d+)\.db\Z")
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@contextmanager
def figures_folder(parent: Path | None = None) -> Iterator[str]:
    """A folder of one's own below `parent`, by default the one for temporary files, until the end.

    Folders that are left over there are removed first. Raises OSError when none can be made.
    """
    place = parent or Path(tempfile.gettempdir())
    _remove_left_over(place)
    folder, lock = _made(place)
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _made(place: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
        lock = _locked(folder)
        # Another process may have taken it for left over before it was locked.
        if lock is not None:
            (folder / MARK).touch()
            return folder, lock


def _remove_left_over(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        # It may be another user's, or be removed by another process meanwhile.
        with contextlib.suppress(OSError):
            lock = _locked(folder)
            if lock is not None:
                try:
                    if not _may_be_in_use(folder):
                        shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(lock)


def _may_be_in_use(folder: Path) -> bool:
    """Whether somebody may use a folder that nobody has locked: a process of an earlier version."""
    names = [file.name for file in folder.iterdir()]
    if MARK in names:
        return False
    pids = [int(found[1]) for found in map(_PID.search, names) if found]
    return time.time() - folder.stat().st_mtime < YOUNG_SECONDS or any(map(_lives, pids))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # It is another user's.
    return True


def _locked(folder: Path) -> int | None:
    """A descriptor with the lock on a folder; None when another process has it, or the folder is gone."""
    try:
        descriptor = os.open(folder, _FOLDER)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(descriptor)
        if status.st_uid == os.geteuid() and os.path.samestat(status, folder.lstat()):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
