"""Which rule carries out which command: each rule says so where it is defined."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from proxy.ledger.books import Books
from proxy.ledger.commands import Command, Result

_Command = TypeVar("_Command", bound=Command)
_Result = TypeVar("_Result", bound=Result)

RULES: Final[dict[type[Command], Callable[[Books, Any], Result]]] = {}
"""The rule of each command. It is complete once every module of rules has been imported."""


def carries_out(
    kind: type[_Command],
) -> Callable[[Callable[[Books, _Command], _Result]], Callable[[Books, _Command], _Result]]:
    """Make a function the rule of one kind of command. Raises TypeError for a kind that has a rule."""

    def register(rule: Callable[[Books, _Command], _Result]) -> Callable[[Books, _Command], _Result]:
        if kind in RULES:
            raise TypeError(f"{kind.__name__} is carried out by two rules")
        RULES[kind] = rule
        return rule

    return register
