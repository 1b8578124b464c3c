"""Owner names: each belongs to one process, and is free again when that process ends."""

import contextlib
import fcntl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.storage import owners
from proxy.storage.faults import StorageFault
from proxy.storage.owners import Owner, alone, claim, gone
from tests.storage.losses import LOSSES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "farebox.db"


def files_of(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.glob(f"{path.name}.owner-*"))


def test_each_claims_the_first_file_that_is_free(path: Path) -> None:
    with claim(path) as first:
        with claim(path) as second, claim(path) as third:
            assert [one.file.name for one in (first, second, third)] == files_of(path)
        with claim(path) as again:
            assert again == Owner(second.name, second.file, again.descriptor)
    assert files_of(path) == ["farebox.db.owner-0", "farebox.db.owner-1", "farebox.db.owner-2"]


def test_a_name_is_gone_when_nobody_holds_it(path: Path) -> None:
    with claim(path) as owner:
        assert gone(path, [owner.name, "owner-1-2a", "owner-7"]) == {"owner-1-2a", "owner-7"}
    assert gone(path, [owner.name]) == {owner.name}


def test_a_name_without_a_number_goes_by_the_lock_alone(path: Path) -> None:
    """It is of a version that gave such names, or of one who looks at the files."""
    with claim(path):
        assert gone(path, ["owner-0", "owner-1"]) == {"owner-1"}
    assert gone(path, ["owner-0"]) == {"owner-0"}


def test_asking_who_is_gone_leaves_nothing(path: Path) -> None:
    gone(path, ["owner-0", "owner-5-1f"])
    assert files_of(path) == []


def test_databases_in_one_folder_do_not_share_names(path: Path) -> None:
    with claim(path) as one, claim(path.with_name("other.db")) as other:
        assert one.name != other.name
        assert gone(path, [one.name, other.name]) == {other.name}


@pytest.mark.parametrize("lose", [lose for how, lose in LOSSES.items() if "folder" not in how])
def test_nobody_gets_the_name_of_one_that_lives_whatever_becomes_of_its_file(
    path: Path, lose: Callable[[Path], None]
) -> None:
    """One that has lost its file is gone for others: it has to end, and the next one has another name."""
    with contextlib.ExitStack() as stack:
        taken = set()
        for _ in range(5):
            owner = stack.enter_context(claim(path))
            assert owner.name not in taken
            assert gone(path, [owner.name]) == set()
            lose(owner.file)
            assert gone(path, [owner.name]) == {owner.name}
            taken.add(owner.name)


def test_a_file_that_is_deleted_before_it_is_locked_is_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock would show nothing: whoever comes next finds another file, or none, under its name."""
    real, left = fcntl.flock, [1]

    def late(descriptor: int, operation: int) -> None:
        if left:
            left.pop()
            path.with_name(f"{path.name}.owner-0").unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with claim(path) as owner:
        assert not left
        assert gone(path, [owner.name]) == set()


def test_names_run_out_with_a_word_about_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "MOST_OWNERS", 2)
    with claim(path), claim(path), pytest.raises(StorageFault, match="all 2 owner names"), claim(path):
        pass


def test_a_database_is_prepared_by_one_at_a_time(path: Path) -> None:
    with alone(path):
        assert gone(path, ["lock"]) == set()
    assert gone(path, ["lock"]) == {"lock"}


def test_one_who_waits_for_another_to_prepare_the_database_can_be_called_off(path: Path) -> None:
    abandoned = threading.Event()
    abandoned.set()
    with (
        alone(path),
        pytest.raises(StorageFault, match="given up"),
        alone(path, abandoned=abandoned),
    ):
        pass


def test_a_name_is_let_go_of_when_its_holder_fails(path: Path) -> None:
    with contextlib.suppress(RuntimeError), claim(path):
        raise RuntimeError
    with claim(path) as owner:
        assert owner.file.name == "farebox.db.owner-0"
