"""The commands about levels: how much there is of a thing is told, and what it came to is charged."""

from typing import Final

from proxy.ledger import kinds
from proxy.ledger.command import Command
from proxy.ledger.level_rows import Level, Told
from proxy.ledger.needs import Needs
from proxy.ledger.records import Record
from proxy.ledger.rows import Call

STOPPED: Final = "level.stopped"
"""The event that a thing has to end, as nothing is left to pay for it."""


class ReportLevel(Command, frozen=True):
    """Note how much there is of a thing. `record` is what is kept of it being told: it costs nothing.

    Its model is the type of events that tell of it. It is told once for the name of that. Of a moment until
    which the thing was charged nothing can be told.
    """

    record: Record
    thing: str
    told: Told

    @property
    def call(self) -> Call:
        """What is recorded of it."""
        return self.record.call

    @property
    def at_us(self) -> int:
        """When it is given."""
        return self.record.at_us

    def add_needs(self, needs: Needs) -> None:
        """Add what its record needs, and the level."""
        self.record.add_needs(needs)
        needs.add(kinds.LEVEL, (self.call.account_id, self.call.model, self.thing))


class Accrue(Command, frozen=True):
    """Charge what a level comes to until a moment: `record` has that as its usage, by one meter.

    It is refused where the level is not what it was when that was worked out. Where it `stops`, a charge that
    funds do not cover ends the level.
    """

    record: Record
    level: Level
    until_us: int
    stops: bool = False

    @property
    def call(self) -> Call:
        """What is recorded of it."""
        return self.record.call

    @property
    def at_us(self) -> int:
        """When it is given."""
        return self.record.at_us

    def add_needs(self, needs: Needs) -> None:
        """Add what its record needs, and the level."""
        self.record.add_needs(needs)
        needs.add(kinds.LEVEL, (self.level.account_id, self.level.type, self.level.thing))
