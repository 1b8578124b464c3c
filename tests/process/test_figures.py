"""The folder for shared figures: one for each that serves, and none that stays for ever."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.process import figures
from proxy.process.figures import PREFIX, figures_folder
from tests.sources import ROOT

HOLDS = """
import os, sys, time
from pathlib import Path
from proxy.process.figures import figures_folder
with figures_folder(Path(sys.argv[1])) as folder:
    child = os.fork()
    os.write(1, f"{folder} {os.getpid()}\\n".encode())  # At once: print may write word by word.
    if child == 0:
        Path(folder, "counter_1.db").write_text("figures")
    time.sleep(3600)
"""
"""A supervisor with a worker."""


def folders(place: Path) -> list[str]:
    return sorted(str(folder) for folder in place.glob(f"{PREFIX}*"))


def test_a_folder_is_there_until_the_end(tmp_path: Path) -> None:
    with figures_folder(tmp_path) as folder:
        Path(folder, "counter_1.db").touch()
        assert folders(tmp_path) == [folder]
    assert folders(tmp_path) == []


def test_each_has_a_folder_of_its_own_and_leaves_those_of_others(tmp_path: Path) -> None:
    with figures_folder(tmp_path) as one, figures_folder(tmp_path) as two:
        assert folders(tmp_path) == sorted([one, two])
        with figures_folder(tmp_path) as three:
            assert folders(tmp_path) == sorted([one, two, three])


def test_what_killed_processes_have_left_goes_with_the_next_start_and_not_before(tmp_path: Path) -> None:
    """A worker that outlives its supervisor still writes there: the last of them counts."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [process.stdout.readline().split() for _ in range(2)]
    folder, worker = told[0][0], next(int(pid) for _, pid in told if int(pid) != process.pid)
    try:
        process.kill()
        process.wait()
        with figures_folder(tmp_path) as other:
            assert folders(tmp_path) == sorted([folder, other]), "its worker lives"
    finally:
        os.kill(worker, signal.SIGKILL)
    while process.stdout.read():
        pass  # The end comes when the worker has ended, too.
    process.stdout.close()
    with figures_folder(tmp_path) as other:
        assert folders(tmp_path) == [other]


@pytest.mark.parametrize("lives", [True, False])
def test_a_folder_of_an_earlier_version_goes_with_its_processes(tmp_path: Path, lives: bool) -> None:
    """These took no lock. The names of their files say which processes they are of."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    old = tmp_path / f"{PREFIX}old"
    old.mkdir()
    (old / f"counter_{os.getpid() if lives else ended.pid}.db").touch()
    with figures_folder(tmp_path):
        assert old.exists(), "it has just been made"
    os.utime(old, (0, 0))
    with figures_folder(tmp_path):
        assert old.exists() == lives


def test_what_is_not_such_a_folder_stays(tmp_path: Path) -> None:
    """A file, a link to a folder and another name: none of them is ours."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (tmp_path / f"{PREFIX}file").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere)
    (tmp_path / "farebox-other").mkdir()
    before = {file.name for file in tmp_path.iterdir()}
    with figures_folder(tmp_path):
        pass
    assert {file.name for file in tmp_path.iterdir()} == before
    assert (elsewhere / "kept").exists()


def test_one_that_is_taken_for_left_over_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = figures._locked, []

    def late(folder: Path) -> int | None:
        made.append(folder)
        if len(made) == 1:
            with contextlib.suppress(OSError):
                folder.rmdir()
        return real(folder)

    monkeypatch.setattr(figures, "_locked", late)
    with figures_folder(tmp_path) as folder:
        assert folders(tmp_path) == [folder]
    assert len(made) == 2
