"""The watch over connections: one that asks for nothing, or whose client does not read, is aborted.

aiohttp closes such connections politely or not at all. A polite close waits for a client that never reads.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from proxy.edge.reply import PIECE_BYTES

HEAD_SECONDS: Final = 30.0
"""How long a new connection may take to send the head of its first request."""
KEEPALIVE_SECONDS: Final = 75.0
"""How long a connection may lie idle between requests."""
ROUND_SECONDS: Final = 0.5
"""How often the watch looks at all connections."""


class Pace(msgspec.Struct, frozen=True):
    """How slowly a client may take what was sent to it: so many bytes, or all of it, in so many seconds."""

    seconds: float
    size_bytes: int


DRAIN_PACE: Final = Pace(2.0, 16_384)
"""What is asked of clients when the process ends: those that do not read must not hold it up."""


def usual_pace(write_seconds: float) -> Pace:
    """What is asked of clients otherwise."""
    return Pace(write_seconds, PIECE_BYTES)


class WatchedConnection(Protocol):
    """One connection of a client, as the watch sees it."""

    @property
    def opened_at(self) -> float:
        """When it was made."""
        ...

    @property
    def had_request(self) -> bool:
        """Whether the head of a request has come over it."""
        ...

    @property
    def had_call(self) -> bool:
        """Whether a call was let through that came over it."""
        ...

    @property
    def idle_since(self) -> float | None:
        """Since when no request is being handled; None while one is."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """How much has been written that the system has not taken yet."""
        ...

    @property
    def taken_bytes(self) -> int:
        """A figure that grows by what the client takes."""
        ...

    def abort(self) -> None:
        """End it at once, with all that is unsent; `ConnectionWatch.remove` follows."""
        ...

    def close(self) -> None:
        """End it politely: nothing is being handled."""
        ...


class _Debt(msgspec.Struct, frozen=True):
    """What a client has to take from an instant on: until `taken_bytes` is `due_bytes`."""

    since: float
    due_bytes: int


class ConnectionWatch:
    """Looks at all connections again and again. `pace` is asked each time, as a drain changes it.

    There are at most `most` connections, those included whose client has left and whose call goes on: the
    tasks of these are `alone`. A new one takes the place of one that nobody needs: the one that is
    idle for longest, and those that never carried a call before those that did.
    """

    def __init__(self, *, pace: Callable[[], Pace], now: Callable[[], float], most: int) -> None:
        self._pace = pace
        self._now = now
        self._most = most
        self._connections: dict[WatchedConnection, _Debt | None] = {}
        self.alone: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Count the connections."""
        return len(self._connections)

    def add(self, connection: WatchedConnection) -> None:
        """A connection was made. It is aborted if there are too many, and all others are at work."""
        if len(self._connections) + len(self.alone) >= self._most:
            victim = self._idlest() or connection
            victim.abort()
            self.remove(victim)
            if victim is connection:
                return
        self._connections[connection] = None

    def remove(self, connection: WatchedConnection) -> None:
        """A connection has ended."""
        self._connections.pop(connection, None)

    @property
    def has_unsent(self) -> bool:
        """Whether any client has not taken all that was written."""
        return any(connection.unsent_bytes for connection in self._connections)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            self.look()

    def look(self) -> None:
        """Abort every connection that is overdue now, and close those that nobody has used for long."""
        now, pace = self._now(), self._pace()
        for connection, debt in list(self._connections.items()):
            if not connection.had_request and now - connection.opened_at >= HEAD_SECONDS:
                connection.abort()
            elif not (unsent := connection.unsent_bytes):
                if debt is not None:
                    self._connections[connection] = None
                since = connection.idle_since if connection.had_request else None
                if since is not None and now - since >= KEEPALIVE_SECONDS:
                    connection.close()
            elif debt is None or connection.taken_bytes >= debt.due_bytes:
                due_bytes = connection.taken_bytes + min(unsent, pace.size_bytes)
                self._connections[connection] = _Debt(now, due_bytes)
            elif now - debt.since >= pace.seconds:
                connection.abort()

    def _idlest(self) -> WatchedConnection | None:
        """The connection that is needed least, or None. A client that does not read is as good as idle."""
        now = self._now()
        idle: list[tuple[bool, bool, float, int]] = []
        connections = list(self._connections.items())
        for index, (connection, debt) in enumerate(connections):
            since = connection.idle_since
            if since is None and debt is not None and now - debt.since >= DRAIN_PACE.seconds:
                since = debt.since
            if since is not None:
                idle.append((connection.had_call, connection.had_request, since, index))
        return connections[min(idle)[3]][0] if idle else None
