"""The rules: one pure function from books and a command to changed books and a result.

No clock, no storage, no waiting: times and ids come with the command. Whatever storage is used, only the
rules decide what a command does. One that is refused changes nothing; lots that turned out to be due when it
was looked at are expired all the same, as they would be by any other command.
"""

from collections.abc import Callable
from typing import Any, Final

from proxy.ledger.books import Books
from proxy.ledger.commands import (
    Adjust,
    Authorize,
    ChangeAccount,
    ChangeKey,
    Command,
    CreateKey,
    Extend,
    Grant,
    Observe,
    OpenAccount,
    Recover,
    Result,
    Settle,
    Sweep,
    Void,
)
from proxy.ledger.rules import accounts, calls, closing, credit


def apply(books: Books, command: Command) -> Result:
    """Carry out one command on the books. Raises KeyError for a command of an unknown type."""
    if not isinstance(command, _OF_A_CALL):
        # These are few, and their results show the whole account.
        books.add_up()
    return _RULES[type(command)](books, command)


_OF_A_CALL: Final = (Authorize, Observe, Extend, Settle, Void, Recover)
_RULES: Final[dict[type[Command], Callable[[Books, Any], Result]]] = {
    OpenAccount: accounts.open_account,
    ChangeAccount: accounts.change_account,
    CreateKey: accounts.create_key,
    ChangeKey: accounts.change_key,
    Grant: credit.grant,
    Adjust: credit.adjust,
    Authorize: calls.authorize,
    Observe: calls.observe,
    Extend: calls.extend,
    Settle: closing.settle,
    Void: closing.void,
    Recover: closing.recover,
    Sweep: credit.sweep,
}
