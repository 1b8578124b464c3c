"""Making a failing history small: what can be left out while the same rule is still broken, is."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from proxy.ledger.commands import Command
from tests.simulation.steps import Batch, Step, account_of

Fails = Callable[[Sequence[Step]], Awaitable[bool]]
"""Whether a history still breaks the rule."""

_Item = TypeVar("_Item")
Part = tuple[int, int | None]
"""A step by its number, or one of its commands."""


class Shrinker:
    """Leaves out accounts, then steps, then commands, by halves and quarters down to single ones.

    Stops looking when `late` says so, with the smallest history it has seen fail by then.
    """

    def __init__(self, fails: Fails, late: Callable[[], bool]) -> None:
        self._fails = fails
        self._late = late

    async def shrink(self, steps: Sequence[Step], account_id: str = "") -> list[Step]:
        """A history that fails as `steps` do. `account_id` is whose rule is broken, if it is known."""
        steps = list(steps)
        if account_id:
            steps = await self._only(steps, {account_id})
        steps = await self._fewer_accounts(steps)
        size = -1
        while size != _size(steps) and not self._late():
            size = _size(steps)
            steps = await self._fewer_parts(steps, [(number, None) for number in range(len(steps))])
            steps = await self._fewer_parts(steps, _commands_of(steps))
            steps = await self._plainer(steps)
        return steps

    async def _only(self, steps: list[Step], account_ids: set[str]) -> list[Step]:
        candidate = _of_accounts(steps, account_ids)
        return candidate if await self._still(candidate) else steps

    async def _fewer_accounts(self, steps: list[Step]) -> list[Step]:
        names = _accounts_of(steps)

        async def fails(kept: list[str]) -> bool:
            return await self._still(_of_accounts(steps, set(kept)))

        kept = await self._minimized(names, fails)
        return _of_accounts(steps, set(kept)) if len(kept) < len(names) else steps

    async def _fewer_parts(self, steps: list[Step], parts: list[Part]) -> list[Step]:
        async def fails(kept: list[Part]) -> bool:
            return await self._still(_without(steps, set(parts) - set(kept)))

        kept = await self._minimized(parts, fails)
        return _without(steps, set(parts) - set(kept))

    async def _plainer(self, steps: list[Step]) -> list[Step]:
        """Batches that need not break off do not."""
        for number, step in enumerate(steps):
            if isinstance(step, Batch) and (step.fault or step.dies):
                plain = [*steps[:number], Batch(step.process, step.commands), *steps[number + 1 :]]
                if await self._still(plain):
                    steps = plain
        return steps

    async def _minimized(
        self, items: list[_Item], fails: Callable[[list[_Item]], Awaitable[bool]]
    ) -> list[_Item]:
        """Delta debugging: leave out chunks that are not needed, of half the items, then of ever fewer."""
        size = len(items) // 2
        while size and not self._late():
            start = 0
            while start < len(items) and not self._late():
                rest = items[:start] + items[start + size :]
                if rest and await fails(rest):
                    items = rest
                else:
                    start += size
            size //= 2
        return items

    async def _still(self, steps: list[Step]) -> bool:
        return not self._late() and await self._fails(steps)


def _accounts_of(steps: Sequence[Step]) -> list[str]:
    batches = (step for step in steps if isinstance(step, Batch))
    return list(dict.fromkeys(account_of(command) for step in batches for command in step.commands))


def _of_accounts(steps: Sequence[Step], account_ids: set[str]) -> list[Step]:
    def kept(command: Command) -> bool:
        return account_of(command) in account_ids

    return _filled(
        replace(step, commands=tuple(filter(kept, step.commands))) if isinstance(step, Batch) else step
        for step in steps
    )


def _commands_of(steps: Sequence[Step]) -> list[Part]:
    return [
        (number, place)
        for number, step in enumerate(steps)
        if isinstance(step, Batch)
        for place in range(len(step.commands))
    ]


def _without(steps: Sequence[Step], parts: set[Part]) -> list[Step]:
    return _filled(
        _reduced(number, step, parts) for number, step in enumerate(steps) if (number, None) not in parts
    )


def _reduced(number: int, step: Step, parts: set[Part]) -> Step:
    if not isinstance(step, Batch):
        return step
    places = enumerate(step.commands)
    return replace(step, commands=tuple(each for place, each in places if (number, place) not in parts))


def _filled(steps: Iterable[Step]) -> list[Step]:
    """Steps without batches that have nothing left to do but to die."""
    return [step for step in steps if not isinstance(step, Batch) or step.commands or step.dies]


def _size(steps: Sequence[Step]) -> int:
    return len(steps) + len(_commands_of(steps))
