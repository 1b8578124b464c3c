"""What all commands are derived from."""

import msgspec

from proxy.ledger.needs import Needs


class Command(msgspec.Struct, frozen=True, tag=True):
    """What all commands share. A command is a class that no other is derived from: `commands.COMMANDS`."""

    def add_needs(self, needs: Needs) -> None:  # noqa: ARG002 - each command says which rows.
        """Add the rows that its rule reads. Raises TypeError for a command that does not say which."""
        raise TypeError(f"{type(self).__name__} does not name the rows that its rule reads")


class OfAccount(Command, frozen=True):
    """A command of the administration. Its result shows the whole account."""

    account_id: str

    def add_needs(self, needs: Needs) -> None:
        """Add the account."""
        needs.accounts.add(self.account_id)
