"""Commands and rules belong together one to one, and neither is listed a second time."""

import pytest

from proxy.ledger.books import Books
from proxy.ledger.commands import COMMANDS, Command, Done, Refused, Sweep
from proxy.ledger.needs import Needs
from proxy.ledger.rules.registry import RULES, carries_out


def test_every_command_has_a_rule() -> None:
    assert RULES.keys() == set(COMMANDS)


def test_commands_are_those_that_nothing_is_derived_from() -> None:
    assert Sweep in COMMANDS
    assert not any(kind.__subclasses__() for kind in COMMANDS)


def test_a_command_has_one_rule_only() -> None:
    """The second one fails as its module is imported, and the first stays."""
    rule = RULES[Sweep]

    def another(books: Books, command: Sweep) -> Done | Refused:
        raise AssertionError(books, command)

    with pytest.raises(TypeError, match="Sweep is carried out by two rules"):
        carries_out(Sweep)(another)
    assert RULES[Sweep] is rule


def test_a_command_that_names_no_rows_is_refused() -> None:
    """Nobody forgets it: the first batch with such a command fails."""
    with pytest.raises(TypeError, match="Command does not name the rows that its rule reads"):
        Command().add_needs(Needs())
