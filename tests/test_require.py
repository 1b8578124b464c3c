"""A test without its outside tool says so; where everything is required, it fails."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.postgres.server import own_server

ABSENT = "no-command-has-this-name"


@pytest.fixture(params=["", "all"])
def required(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("FAREBOX_TEST_REQUIRE", request.param)
    return bool(request.param)


def test_a_present_tool_is_found_by_name(required: bool, require: Callable[[str], str]) -> None:
    assert Path(require("sh")).is_file()


def test_a_missing_tool_skips_or_fails_with_its_name(required: bool, require: Callable[[str], str]) -> None:
    outcome = pytest.fail.Exception if required else pytest.skip.Exception
    with pytest.raises(outcome, match=ABSENT):
        require(ABSENT)


def test_a_postgresql_that_is_missing_skips_or_fails_with_its_name(required: bool) -> None:
    outcome = pytest.fail.Exception if required else pytest.skip.Exception
    with pytest.raises(outcome, match="needs PostgreSQL: no_such_package is not installed"):
        own_server("no_such_package")
