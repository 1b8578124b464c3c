"""The source files as data, for the tests that check the house rules."""

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

Finding = tuple[int, str]
"""A line and what is wrong with it."""


@dataclass(frozen=True)
class Module:
    """One source file: where it is below the checkout, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree. Raises `SyntaxError`."""
        return ast.parse(self.text, self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of its syntax tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def package(self) -> list[str]:
        return list(Path(self.path).parent.parts)

    @property
    def name(self) -> str:
        return ".".join(Path(self.path).with_suffix("").parts).removesuffix(".__init__")

    @property
    def layer(self) -> str:
        return layer_of(self.name)


Check = Callable[[Module], Iterator[Finding]]
"""Yields a module's breaches of one rule."""


def layer_of(dotted: str) -> str:
    """The folder or module right below proxy/ that a dotted name lies in; empty for the package itself."""
    return dotted.split(".")[1] if dotted.startswith("proxy.") else ""


def modules_in(folder: str) -> list[Module]:
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [Module(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]


PROXY = modules_in("proxy")
TESTS = modules_in("tests")


def assert_clean(check: Check, modules: Iterable[Module]) -> None:
    """Fail with `file:line: fault` for every breach that `check` finds."""
    faults = [f"{module.path}:{line}: {fault}" for module in modules for line, fault in check(module)]
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Everything a module imports, at any depth, as absolute dotted names that end in the imported one."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = module.package[: len(module.package) - node.level + 1] if node.level else []
            base = ".".join([*up, *filter(None, [node.module])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
