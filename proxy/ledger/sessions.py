"""Sessions: what is used from when it is opened until it ends, by a hold that is extended piece by piece.

The hold is that of a call, and the session an object that the call has made. Commands about both are those
of any call; only that it has ended is told of besides.
"""

from typing import Final, Literal

import msgspec

SESSION: Final = "session"
"""The kind of the object that a session is."""
ENDED: Final = "session.ended"
"""The event that a session has ended."""

EndReason = Literal["closed", "idle", "longest", "funds"]


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session, as its object has it: `digest` is that of the event that has opened it.

    It was heard of last at `last_us`, and is held for until `funded_us`. It lasts until `longest_us` at most,
    and no more than `idle_us` after it was heard of last. Once it has ended, it was charged until `ended_us`.
    """

    name: str
    digest: str
    opened_us: int
    last_us: int
    funded_us: int
    longest_us: int
    idle_us: int
    ended_us: int = 0
    reason: EndReason | Literal[""] = ""

    @property
    def due_us(self) -> int:
        """When it ends if nothing more is heard of it, and no more is held."""
        return min(self.last_us + self.idle_us, self.funded_us, self.longest_us)

    @property
    def ends_for(self) -> EndReason:
        """Why it would end then."""
        if self.due_us == self.longest_us:
            return "longest"
        return "idle" if self.due_us == self.last_us + self.idle_us else "funds"


def latest(before: str, after: str) -> str:
    """What an object has of a session that two have heard of at once: all of it, and its end for good."""
    was, said = session_of(before), session_of(after)
    if was.ended_us:
        return before
    last_us, funded_us = max(was.last_us, said.last_us), max(was.funded_us, said.funded_us)
    return seen_of(msgspec.structs.replace(said, last_us=last_us, funded_us=funded_us))


def session_of(seen: str) -> Session:
    """A session from what its object has. Raises msgspec.DecodeError or ValidationError."""
    return msgspec.json.decode(seen, type=Session)


def seen_of(session: Session) -> str:
    """What its object has of a session."""
    return msgspec.json.encode(session).decode()
