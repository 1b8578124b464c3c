"""The page of the systems says what the tests show: each statement that runs has its test, and no other."""

import ast
import re

from tests.sources import ROOT

PAGE = (ROOT / "docs/systems.md").read_text("utf-8")
LETTERS = {
    "aisa": ("A", 9),
    "aixplain": ("X", 14),
    "aispace": ("S", 15),
    "alguna": ("G", 9),
    "tensoras": ("T", 13),
}
ROW = re.compile(r"^\| ((?:[A-Z]\d+(?:, )?)+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def names_in(name: str) -> set[str]:
    path = ROOT / f"tests/systems/test_{name}.py"
    tree = ast.parse(path.read_text("utf-8")) if path.exists() else ast.Module([], [])
    return {
        each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")
    }


def statements_of(test: str) -> set[str]:
    return {found.upper() for found in re.findall(r"_([axsgt]\d+)(?=_)", test)}


def listed() -> dict[str, set[str]]:
    """The statements that run by the page, each with the tests that it names."""
    found: dict[str, set[str]] = {}
    for statements, tests in ROW.findall(PAGE):
        for statement in statements.split(", "):
            found.setdefault(statement, set()).update(re.findall(r"`(test_\w+)`", tests))
    return found


def waiting() -> set[str]:
    """The statements that do not run, from the last paragraph."""
    text = PAGE.partition("## What does not run yet")[2]
    found = set(re.findall(r"\b[A-Z]\d+\b", text))
    for letter, first, last in re.findall(r"\b([A-Z])(\d+)\s+to\s+[A-Z](\d+)\b", text):
        found |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return found


def test_each_statement_is_on_the_page_once() -> None:
    """It runs, or it is said not to."""
    every = {f"{letter}{at}" for letter, most in LETTERS.values() for at in range(1, most + 1)}
    runs = set(listed())
    assert runs | waiting() == every
    assert not runs & waiting()


def test_each_statement_that_runs_names_its_tests_and_each_test_is_named_by_a_statement_that_runs() -> None:
    tests = {test for name in LETTERS for test in names_in(name)}
    page = listed()
    for statement, named in page.items():
        assert named, statement
        assert named <= tests, statement
    for test in tests:
        assert statements_of(test), test
        assert statements_of(test) <= page.keys(), test
    for statement in page:
        assert any(statement in statements_of(test) for test in tests), statement
