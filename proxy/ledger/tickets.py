"""Tickets: a command that waits, and what its caller is told when it cannot be carried out."""

import asyncio
from typing import Any

import msgspec

from proxy.errors import Refusal
from proxy.ledger.commands import Close, Command, Detach, Result


class Ticket(msgspec.Struct, frozen=True):
    """A command in the inbox, and the future of its result."""

    command: Command
    future: asyncio.Future[Any]

    @property
    def closes(self) -> bool:
        """Whether the command ends what its process does about a hold, and so must not be lost."""
        return isinstance(self.command, Close | Detach)

    def resolve(self, result: Result) -> None:
        """Set the result, unless the caller was cancelled."""
        if not self.future.done():
            self.future.set_result(result)

    def unanswered(self) -> "Ticket":
        """Tell the caller that the ledger cannot be written, and keep what closes the hold all the same."""
        if self.future.done():
            return self
        self.turn_away()
        if isinstance(self.command, Close | Detach):
            return Ticket(self.command.unanswered(), self.future)
        return self

    def turn_away(self) -> None:
        """Refuse the command as `ledger_unavailable`, unless the caller was cancelled."""
        if not self.future.done():
            self.future.set_exception(Refusal("ledger_unavailable", "The ledger cannot be written now."))
            # A caller need not await the future, and asyncio complains of an exception that nobody reads.
            self.future.exception()
