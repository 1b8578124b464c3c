"""The ways in which a file can be taken away from a process that has it open."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final


def _delete(file: Path) -> None:
    file.unlink()


def _move_away(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))


def _replace_by_a_copy(file: Path) -> None:
    copy = file.with_name("copy")
    shutil.copy2(file, copy)
    copy.replace(file)


def _replace_by_another(file: Path) -> None:
    another = file.with_name("another")
    another.write_text("This is another file.")
    another.replace(file)


def _replace_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


LOSSES: Final[dict[str, Callable[[Path], None]]] = {
    "deleted": _delete,
    "moved away": _move_away,
    "replaced by a copy": _replace_by_a_copy,
    "replaced by another": _replace_by_another,
    "replaced by a folder": _replace_by_a_folder,
}
SUFFIXES: Final = ("", "-wal", "-shm", ".owner-0")
"""What the files of a served database are called, after its own name."""
