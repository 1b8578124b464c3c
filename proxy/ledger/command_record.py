"""The row that makes a repeat of a command harmless."""

import msgspec


class CommandRecord(msgspec.Struct, frozen=True):
    """A command that was carried out under its caller's id: its digest, and the number of its entry."""

    account_id: str
    command_id: str
    digest: str
    at_us: int
    seq: int
