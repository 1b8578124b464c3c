"""The README as data, for the tests that check what it says; a check yields the faults of a text."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

import pytest

from proxy.config.load import load
from proxy.process.app import Farebox
from tests.sources import ROOT


class Readme:
    """A Markdown text, taken apart: `prose` is all of it but fenced blocks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks in a language."""
        return re.findall(rf"^```{language}\n(.*?)^```", self.text, flags=re.DOTALL | re.MULTILINE)

    @cached_property
    def ticked(self) -> list[str]:
        """Everything in backticks, in order."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of each row of every table whose heading row begins with `heading`."""
        found: list[list[str]] = []
        inside = False
        for line in self.prose.splitlines():
            inside = line.startswith(f"| {heading} |") or (inside and line.startswith("|"))
            if inside:
                found.append([cell.strip() for cell in line.split("|")[1:-1]])
        return [row for row in found if row[0] != heading and not row[0].startswith("---")]


# What else is in config/ is for the tools that run Farebox: see tests/config/test_deployment.py.
CONFIGS = sorted({*(ROOT / "config").rglob("farebox.yaml"), ROOT / "config/quickstart.yaml"})
ADMIN_KEY = "d41f8c20b7e94a6395c8"
SAMPLES = {
    "FAREBOX_DATABASE_URL": "postgresql://farebox:secret@db/farebox",
    "HOLDINGS_SECRET": "whsec_" + "A" * 32,
    "UPSTREAM_URL": "https://api.example.com/v1",
}
"""What variables hold that are not mere secrets."""

Check = Callable[[Readme], Iterator[str]]
README = Readme((ROOT / "README.md").read_text("utf-8"))


def differences(what: str, listed: Iterable[str], there: Iterable[str]) -> Iterator[str]:
    """A fault for each thing that is there and not listed, or listed and not there."""
    listed, there = set(listed), set(there)
    yield from (f"{what} {name} is not in the README" for name in sorted(there - listed))
    yield from (f"{what} {name} is in the README only" for name in sorted(listed - there))


def untick(cell: str) -> str:
    """A cell without the backticks around all of it."""
    return cell.removeprefix("`").removesuffix("`")


def assert_true(check: Check) -> None:
    """Fail with every fault that `check` finds in the README."""
    faults = list(check(README))
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def assert_found(check: Check, old: str, new: str) -> None:
    """Put something else in the place of a text in the README, and fail unless `check` notices."""
    assert old in README.text
    assert set(check(Readme(README.text.replace(old, new)))) - set(check(README))


def assert_all_breached(checks: Sequence[Check], breaches: Iterable[tuple[Check, str, str]]) -> None:
    """Fail unless each check is seen to fail by one of `breaches`: no other is to be trusted."""
    assert {check for check, _, _ in breaches} == set(checks)


def environments(text: str) -> list[dict[str, str]]:
    """For a configuration: only the variables it needs, and also those it can do without."""
    needed = {name: SAMPLES.get(name, ADMIN_KEY) for name in re.findall(r"\$\{(\w+)\}", text)}
    return [needed, needed | dict.fromkeys(re.findall(r"\$\{(\w+):-\}", text), ADMIN_KEY)]


def served() -> list[tuple[str, str]]:
    """The method and path of every route of the application; a method may be `*`.

    Routes that only refuse are left out: those of other methods than a path takes, and of all else below one.
    """
    application = Farebox(load(ROOT / "config/quickstart.yaml", {})).application()
    methods: dict[str, set[str]] = {}
    for route in application.router.routes():
        assert route.resource is not None
        methods.setdefault(route.resource.canonical, set()).add(route.method)
    return [
        (method, path)
        for path, taken in methods.items()
        for method in (taken - {"*", "HEAD"} or taken)
        if not path.endswith("{rest}")
    ]
