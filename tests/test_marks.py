"""The marks by which an edit loop leaves the slow tests out."""

import re
import tomllib

from tests.conftest import SLOW
from tests.sources import ROOT


def test_each_slow_folder_or_file_is_there() -> None:
    """An entry that has lost its folder would mark nothing."""
    assert [name for name in SLOW if not (ROOT / "tests" / name).exists()] == []


def test_make_quick_leaves_out_every_mark_there_is() -> None:
    """The marks that are given, those that pytest knows, and those in the Makefile are the same."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    quick = re.search(
        r"^quick:.*\n.* -m 'not \((.*)\)'$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    assert quick is not None
    assert set(SLOW.values()) == {line.partition(":")[0] for line in options["markers"]}
    assert set(SLOW.values()) == set(quick[1].split(" or "))
