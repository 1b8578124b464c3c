"""The watch over connections, as a table: what a connection does, and after how long it is aborted."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from proxy.edge.watch import HEAD_SECONDS, KEEPALIVE_SECONDS, ROUND_SECONDS, ConnectionWatch, Pace

PACE: Final = Pace(10.0, 1_000)
LONG_SECONDS: Final = 200.0


@dataclass(eq=False)
class Client:
    """A connection as a script wants it."""

    had_request: bool = True
    had_call: bool = False
    idle_since: float | None = None
    opened_at: float = 0.0
    unsent_bytes: int = 0
    taken_bytes: int = 0
    aborted: bool = False
    closed: bool = False

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True


@dataclass
class Scene:
    """A watch with a clock that is moved by hand."""

    pace: Pace = PACE
    most: int = 100
    now: float = 0.0
    watch: ConnectionWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = ConnectionWatch(pace=lambda: self.pace, now=lambda: self.now, most=self.most)

    def aborted_after(self, client: Client, does: Callable[[Client, float], None]) -> float | None:
        """Until when it takes the watch to abort a client that does this in every round; None for never."""
        self.watch.add(client)
        while self.now < LONG_SECONDS:
            self.now += ROUND_SECONDS
            does(client, self.now)
            self.watch.look()
            if client.aborted:
                return self.now
        return None


def nothing(client: Client, now: float) -> None:
    """It neither takes nor asks."""


def reads_quickly(client: Client, now: float) -> None:
    """It takes as much as is written, and there is always more."""
    client.taken_bytes += 5_000


def reads_by_drops(client: Client, now: float) -> None:
    """It takes a byte now and then, to seem alive."""
    client.taken_bytes += 1


def reads_at_the_bound(client: Client, now: float) -> None:
    """It takes just what is asked of it."""
    client.taken_bytes += int(PACE.size_bytes / PACE.seconds * ROUND_SECONDS)


def takes_the_rest(client: Client, now: float) -> None:
    """It has taken all in the end."""
    if now >= PACE.seconds / 2:
        client.taken_bytes, client.unsent_bytes = client.unsent_bytes, 0


def asks_at_last(client: Client, now: float) -> None:
    """Its head is there just in time."""
    client.had_request = now >= HEAD_SECONDS - ROUND_SECONDS


@pytest.mark.parametrize(
    ("client", "does", "seconds"),
    [
        (Client(), nothing, None),
        (Client(had_request=False), nothing, HEAD_SECONDS),
        (Client(had_request=False), asks_at_last, None),
        (Client(unsent_bytes=10), nothing, PACE.seconds + ROUND_SECONDS),
        (Client(unsent_bytes=10**6), nothing, PACE.seconds + ROUND_SECONDS),
        (Client(unsent_bytes=10**6), reads_by_drops, PACE.seconds + ROUND_SECONDS),
        (Client(unsent_bytes=10**6), reads_quickly, None),
        (Client(unsent_bytes=10**6), reads_at_the_bound, None),
        (Client(unsent_bytes=10), takes_the_rest, None),
    ],
)
def test_who_is_aborted_and_when(
    client: Client, does: Callable[[Client, float], None], seconds: float | None
) -> None:
    """A client that reads at the pace keeps its connection, and every other loses it in bounded time."""
    assert Scene().aborted_after(client, does) == seconds


def test_a_drain_changes_the_pace_for_those_that_wait_already() -> None:
    """What a client owes is asked for at the pace of now."""
    scene, client = Scene(), Client(unsent_bytes=10)
    scene.watch.add(client)
    for scene.now in (1.0, 2.0, 3.0):
        scene.watch.look()
    assert not client.aborted
    scene.pace = Pace(2.0, 1_000)
    scene.watch.look()
    assert client.aborted


def test_a_connection_that_has_ended_is_not_looked_at() -> None:
    """It is neither kept nor aborted, nor does it count."""
    scene, client = Scene(), Client(had_request=False)
    scene.watch.add(client)
    scene.watch.remove(client)
    scene.now = LONG_SECONDS
    scene.watch.look()
    assert (client.aborted, len(scene.watch), scene.watch.has_unsent) == (False, 0, False)


def test_the_connection_that_is_needed_least_makes_room() -> None:
    """Silent ones go first, then those without a call, then idle ones by age; those at work never go."""
    clients = {
        "silent": Client(had_request=False, idle_since=4.0),
        "refused": Client(idle_since=1.0),
        "stuck": Client(unsent_bytes=10),
        "caller, idle for long": Client(had_call=True, idle_since=2.0),
        "caller": Client(had_call=True, idle_since=3.0),
        "at work": Client(had_call=True),
    }
    scene = Scene(most=len(clients))
    for client in clients.values():
        scene.watch.add(client)
    scene.now = 2.0
    scene.watch.look()
    scene.now = 5.0
    order: list[str] = []
    while len(order) < len(clients) - 1:
        newcomer = Client(had_call=True)
        scene.watch.add(newcomer)
        assert not newcomer.aborted
        order += [name for name, client in clients.items() if client.aborted and name not in order]
    assert order == ["silent", "refused", "stuck", "caller, idle for long", "caller"]
    last = Client()
    scene.watch.add(last)
    assert (last.aborted, clients["at work"].aborted, len(scene.watch)) == (True, False, len(clients))


async def test_a_call_that_goes_on_without_its_client_takes_the_place_of_a_connection() -> None:
    """So that who leaves call after call opens no more than who stays: each has its upstream still."""
    scene, ends = Scene(most=3), asyncio.Event()
    idle, busy = Client(idle_since=1.0), Client()
    scene.watch.add(idle)
    scene.watch.add(busy)
    task = asyncio.ensure_future(_waits(ends))
    scene.watch.alone.add(task)
    newcomers = [Client(), Client()]
    for newcomer in newcomers:
        scene.watch.add(newcomer)
    assert (idle.aborted, busy.aborted, [one.aborted for one in newcomers]) == (True, False, [False, True])
    scene.watch.alone.discard(task)
    last = Client()
    scene.watch.add(last)
    assert not last.aborted
    ends.set()
    await task


async def _waits(ends: asyncio.Event) -> None:
    await ends.wait()


@pytest.mark.parametrize(
    ("client", "closes"),
    [
        (Client(idle_since=0.0), True),
        (Client(idle_since=None), False),
        (Client(idle_since=0.0, had_request=False, opened_at=KEEPALIVE_SECONDS), False),
        (Client(idle_since=0.0, unsent_bytes=10), False),
    ],
    ids=["idle", "at work", "new", "does not read"],
)
def test_a_connection_that_nobody_uses_is_closed(client: Client, closes: bool) -> None:
    """Politely, after as long as clients are promised, and not one that has something to take or to do."""
    scene = Scene()
    scene.watch.add(client)
    scene.now = KEEPALIVE_SECONDS - ROUND_SECONDS
    scene.watch.look()
    assert not client.closed
    scene.now = KEEPALIVE_SECONDS
    scene.watch.look()
    assert client.closed is closes
