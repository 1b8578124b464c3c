"""Every Python that is promised is tested, and the image ships one of them.

Each rule is a check that yields faults of the project's files. A check has to find its breaches in
`BREACHES`, so that none passes because it looks at nothing.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.sources import ROOT

FILES: Final = ("pyproject.toml", "Dockerfile", "Makefile", "README.md", ".ci/run")

Files = dict[str, str]
Check = Callable[[Files], Iterator[str]]


def there() -> Files:
    """The text of each file."""
    return {name: (ROOT / name).read_text("utf-8") for name in FILES}


def promised(files: Files) -> list[int]:
    """The minor versions of Python 3 that pip would install Farebox on."""
    requires = tomllib.loads(files["pyproject.toml"])["project"]["requires-python"]
    bounds = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", requires)
    return list(range(int(bounds[1]), int(bounds[2]))) if bounds else []


def looked_for(files: Files) -> list[int]:
    """The minor versions that `.ci/run` looks for."""
    versions = re.search(r"^versions=\((.*)\)$", files[".ci/run"], re.MULTILINE)
    return [int(version.removeprefix("3.")) for version in versions[1].split()] if versions else []


def promise_faults(files: Files) -> Iterator[str]:
    """`requires-python` has both bounds, and promises what `.ci/run` tests and the classifiers say."""
    if not promised(files):
        yield "requires-python has no range"
    if promised(files) != looked_for(files):
        yield f"promised are {promised(files)} and tested are {looked_for(files)}"
    classifiers = tomllib.loads(files["pyproject.toml"])["project"]["classifiers"]
    if classifiers != [f"Programming Language :: Python :: 3.{minor}" for minor in promised(files)]:
        yield f"promised are {promised(files)}, and the classifiers are {classifiers}"


def image_faults(files: Files) -> Iterator[str]:
    """Each stage of the image is built on a Python that is tested, and all on the same one."""
    bases = re.findall(r"^FROM python:3\.(\d+)-slim\b", files["Dockerfile"], re.MULTILINE)
    if not bases or len(bases) != files["Dockerfile"].count("\nFROM ") or len(set(bases)) != 1:
        yield f"the image is built on {bases}"
    yield from (f"the image ships 3.{minor}" for minor in bases if int(minor) not in looked_for(files))


def range_faults(files: Files) -> Iterator[str]:
    """The Makefile makes environments with what is promised only, and tells people the same as the README."""
    versions = promised(files) or [0]
    sentence = f"Python 3.{versions[0]} to 3.{versions[-1]}"
    if (
        f"RANGE := (3, {versions[0]}) <= sys.version_info < (3, {versions[-1] + 1})\n"
        not in files["Makefile"]
    ):
        yield "the Makefile has another range"
    yield from (
        f"{name} does not say {sentence}" for name in ("Makefile", "README.md") if sentence not in files[name]
    )


CHECKS: tuple[Check, ...] = (promise_faults, image_faults, range_faults)


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_promised_is_what_is_tested(check: Check) -> None:
    """Each check says in its docstring what holds."""
    assert list(check(there())) == []


BREACHES: tuple[tuple[Check, str, str, str], ...] = (
    (promise_faults, "pyproject.toml", '">=3.11,<3.15"', '">=3.11"'),
    (promise_faults, "pyproject.toml", '">=3.11,<3.15"', '">=3.11,<3.16"'),
    (promise_faults, "pyproject.toml", "Python :: 3.12", "Python :: 3.10"),
    (promise_faults, ".ci/run", "3.13 3.14", "3.13"),
    (image_faults, "Dockerfile", "FROM python:3.13-slim", "FROM python:3.15-slim"),
    (image_faults, "Dockerfile", "FROM python:3.13-slim AS", "FROM python:3.12-slim AS"),
    (image_faults, "Dockerfile", "FROM python:3.13-slim AS", "FROM debian AS"),
    (range_faults, "Makefile", "< (3, 15)", "< (3, 16)"),
    (range_faults, "README.md", "Python 3.11 to 3.14", "Python 3.11 or newer"),
)


@pytest.mark.parametrize(("check", "name", "before", "after"), BREACHES)
def test_a_breach_of_the_promise_is_found(check: Check, name: str, before: str, after: str) -> None:
    """Each check sees each way to break its rule."""
    files = there()
    assert before in files[name]
    assert list(check({**files, name: files[name].replace(before, after)}))
