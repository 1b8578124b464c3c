"""Owner names: each belongs to one process, and is free again when that process ends."""

import contextlib
from pathlib import Path

import pytest

from proxy.storage import owners
from proxy.storage.faults import StorageFault
from proxy.storage.owners import alone, claim, gone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "farebox.db"


def test_each_claims_the_first_name_that_is_free(path: Path) -> None:
    with claim(path) as first:
        with claim(path) as second, claim(path) as third:
            assert [first, second, third] == ["owner-0", "owner-1", "owner-2"]
        with claim(path) as again:
            assert again == "owner-1"


def test_a_name_is_gone_when_nobody_holds_it(path: Path) -> None:
    with claim(path) as name:
        assert gone(path, [name, "owner-1", "owner-7"]) == {"owner-1", "owner-7"}
    assert gone(path, [name]) == {name}


def test_asking_who_is_gone_takes_no_name(path: Path) -> None:
    gone(path, ["owner-0"])
    with claim(path) as name:
        assert name == "owner-0"


def test_databases_in_one_folder_do_not_share_names(path: Path) -> None:
    with claim(path) as one, claim(path.with_name("other.db")) as other:
        assert one == other


def test_names_run_out_with_a_word_about_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "MOST_OWNERS", 2)
    with claim(path), claim(path), pytest.raises(StorageFault, match="all 2 owner names"), claim(path):
        pass


def test_a_database_is_prepared_by_one_at_a_time(path: Path) -> None:
    with alone(path):
        assert gone(path, ["lock"]) == set()
    assert gone(path, ["lock"]) == {"lock"}


def test_a_name_is_let_go_of_when_its_holder_fails(path: Path) -> None:
    with contextlib.suppress(RuntimeError), claim(path):
        raise RuntimeError
    with claim(path) as name:
        assert name == "owner-0"
