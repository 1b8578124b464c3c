"""The memory for request bodies: one budget of bytes that all calls of a process share."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from proxy.errors import Refusal

SMALL_BYTES: Final = 65_536
"""Bodies up to this size may use all of the budget, larger ones not its last part."""
ROOM_SECONDS: Final = 5.0
"""How long a reader waits for room before its call is refused."""
SLOW_SECONDS: Final = 2.0
"""Where others wait for room, a body has so long for its next `STEP_BYTES`."""
STEP_BYTES: Final = 65_536

Wait = Callable[[asyncio.Future[None], float], Awaitable[object]]
"""Waits for a future for so many seconds at most, and leaves it as it is."""


async def wait_at_most(future: asyncio.Future[None], seconds: float) -> None:
    """Wait until a future is done, or for so long."""
    await asyncio.wait({future}, timeout=seconds)


class BodyShare:
    """What one body takes of the memory, from its first byte until its call lets it go.

    `on_slow` ends the reading of a body that comes too slowly while others wait for its room.
    """

    __slots__ = ("_memory", "_steps_bytes", "advanced_at", "held_bytes", "largest", "limit", "on_slow")

    def __init__(self, memory: "BodyMemory", limit: int, largest: int) -> None:
        self.limit = limit
        self.largest = largest
        self.held_bytes = 0
        self.on_slow: Callable[[], None] | None = None
        self._memory = memory

    @property
    def large_limit(self) -> int:
        """What all bodies may take together when this one is large."""
        return max(self.limit - self.limit // 4, min(self.largest, self.limit))

    async def grow(self, size: int) -> None:
        """Take room for `size` more bytes. Raises Refusal `overloaded` when none comes free in time."""
        if not self._memory.took(self, size):
            await self._memory.wait_for_room(self, size)

    def arriving(self, on_slow: Callable[[], None], now: float) -> None:
        """The body is read from now on, and may be ended by `on_slow`."""
        self.on_slow, self.advanced_at, self._steps_bytes = on_slow, now, 0
        self._memory.arriving[self] = None

    def came(self, size: int, now: float) -> None:
        """So much more of the body came."""
        self._steps_bytes += size
        if self._steps_bytes >= STEP_BYTES:
            self._steps_bytes, self.advanced_at = 0, now

    def arrived(self) -> None:
        """Nothing more is read of it."""
        self.on_slow = None
        self._memory.arriving.pop(self, None)

    def let_go(self) -> None:
        """Give all of it back; idempotent."""
        self._memory.release(self)


class _Waiter:
    """A body that waits for room for `size` more bytes."""

    __slots__ = ("future", "share", "size")

    def __init__(self, share: BodyShare, size: int) -> None:
        self.share = share
        self.size = size
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class BodyMemory:
    """The budget. Room is given in the order in which it was asked for, but small bodies pass large ones.

    A body that waits takes the place of those that come slowly, so that nobody keeps the memory by sending
    almost all of a body.
    """

    def __init__(self, *, now: Callable[[], float], wait: Wait = wait_at_most) -> None:
        self.used_bytes = 0
        self.arriving: dict[BodyShare, None] = {}
        """The bodies that are being read."""
        self._waiters: deque[_Waiter] = deque()
        self._now = now
        self._wait = wait

    def took_small(self, size: int, limit: int) -> bool:
        """Take room for a whole small body that is there, without a share; `give_back` ends that."""
        if self._waiters or size > SMALL_BYTES or self.used_bytes + size > limit:
            return False
        self.used_bytes += size
        return True

    def give_back(self, size: int) -> None:
        """Let others have room that was taken."""
        self.used_bytes -= size
        if self._waiters:
            self._give_room()

    def share(self, limit: int, largest: int) -> BodyShare:
        """The share of a new body, within a budget of `limit` bytes, where no body may exceed `largest`."""
        return BodyShare(self, limit, largest)

    def took(self, share: BodyShare, size: int) -> bool:
        """Take room at once, if there is room and nobody is to have it before."""
        is_large = share.held_bytes + size > SMALL_BYTES
        if self._waiters and (is_large or not all(map(_is_large, self._waiters))):
            return False
        return self._gave(share, size, is_large=is_large)

    async def wait_for_room(self, share: BodyShare, size: int) -> None:
        """Wait in turn. Raises Refusal `overloaded` after `ROOM_SECONDS`."""
        waiter = _Waiter(share, size)
        self._waiters.append(waiter)
        until = self._now() + ROOM_SECONDS
        # It is not the client's fault that nothing is read of this body now.
        on_slow, share.on_slow = share.on_slow, None
        try:
            while not waiter.future.done():
                left = until - self._now()
                if left <= 0:
                    raise Refusal(
                        "overloaded", "The memory for request bodies is used up; try again in a moment."
                    )
                self._end_slow()
                await self._wait(waiter.future, min(left, SLOW_SECONDS))
        finally:
            share.on_slow, share.advanced_at = on_slow, self._now()
            if not waiter.future.done():
                self._waiters.remove(waiter)
                self._give_room()

    def release(self, share: BodyShare) -> None:
        """Take back all that a body holds."""
        held_bytes, share.held_bytes = share.held_bytes, 0
        self.give_back(held_bytes)

    def _gave(self, share: BodyShare, size: int, *, is_large: bool) -> bool:
        if self.used_bytes + size > (share.large_limit if is_large else share.limit):
            return False
        self.used_bytes += size
        share.held_bytes += size
        return True

    def _give_room(self) -> None:
        """Let those that wait have what is free, in turn; a body behind one of its kind does not pass it."""
        stuck: set[bool] = set()
        for waiter in list(self._waiters):
            kind = _is_large(waiter)
            if kind in stuck:
                continue
            if self._gave(waiter.share, waiter.size, is_large=kind):
                self._waiters.remove(waiter)
                waiter.future.set_result(None)
            else:
                stuck.add(kind)

    def _end_slow(self) -> None:
        """End the reading of every body that came too slowly of late."""
        latest = self._now() - SLOW_SECONDS
        for share in list(self.arriving):
            if share.on_slow is not None and share.held_bytes and share.advanced_at <= latest:
                on_slow, share.on_slow = share.on_slow, None
                on_slow()


def _is_large(waiter: _Waiter) -> bool:
    return waiter.share.held_bytes + waiter.size > SMALL_BYTES
