"""The ledger's verbs: commands enter one inbox, and one committer carries them out in batches."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, Final, cast

from proxy.ledger.commands import (
    Authorize,
    Command,
    Detach,
    Done,
    Extend,
    Granted,
    Observe,
    Recover,
    Refused,
    Regrouped,
    Reroute,
    Result,
    Settle,
    Settled,
    Sweep,
    Void,
)
from proxy.ledger.refusals import refusal
from proxy.ledger.rhythm import GATHER_SECONDS, Rhythm
from proxy.ledger.rows import Hold, OnShortfall, Outcome
from proxy.ledger.store import LedgerLost, LedgerUnavailable, Store
from proxy.ledger.tickets import Ticket
from proxy.tasks import Tasks

FIRST_RETRY_SECONDS: Final = 0.05
LAST_RETRY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 15.0
"""How long callers wait for a close while the store is away. A store tries a batch for up to 10 seconds."""


class Ledger:
    """The one way to the ledger. Commands are carried out in the order in which they are submitted.

    The committer takes all commands that wait, up to `max_batch`, as one batch, so that batches grow with
    load. Only when large ones follow one another does the next gather for a moment, see `Rhythm`: that saves
    a tenth of a busy process's time. A lone caller, or a few, never wait for a timer.

    When `max_waiting` commands wait, or the store is known to be down, further ones fail with
    `ledger_unavailable`. Those that close a hold are always taken, and tried again until the ledger is
    closed, or the store is lost for good: then every command fails at once. Their callers are told after
    `patience_seconds` that the store is away. `on_batch` gets the size of each
    batch and the seconds it took, `on_outage` the reason why the store could not be written.

    `tasks` reports every other fault. The batch is then tried command by command, so that only the one at
    fault fails.
    """

    def __init__(
        self,
        store: Store,
        tasks: Tasks,
        *,
        max_batch: int = 256,
        max_waiting: int = 10_000,
        patience_seconds: float = PATIENCE_SECONDS,
        on_batch: Callable[[int, float], None] | None = None,
        on_outage: Callable[[str], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._patience_seconds = patience_seconds
        self._on_batch = on_batch
        self._on_outage = on_outage
        self._outage = ""
        self._away_since: float | None = None
        self._sleep = sleep
        self._inbox: deque[Ticket] = deque()
        self._filled = asyncio.Event()
        self._committer: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._ended = False
        self._down = False
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._one_by_one = 0
        self._rhythm = Rhythm()

    @property
    def waiting(self) -> int:
        """How many commands have no result yet."""
        return len(self._inbox)

    @property
    def available(self) -> bool:
        """Whether commands other than closes are taken now."""
        return not (self._closing or self._ended or self._down or len(self._inbox) >= self._max_waiting)

    @property
    def outage(self) -> str:
        """Why the last batch could not be carried out; empty when it was."""
        return self._outage

    async def end_outage(self) -> None:
        """After an outage, find out whether it is over, by a command that changes nothing.

        Raises `Refusal` with `ledger_unavailable` while it is not.
        """
        if self._outage:
            await self._enter(Sweep("", 0))

    def start(self) -> None:
        """Begin to carry out commands, first those that were submitted before."""
        self._committer = self._tasks.spawn(self._commit_all(), name="ledger committer")

    async def close(self) -> None:
        """Carry out what waits, and end; idempotent. Meanwhile only commands that close holds are taken."""
        self._closing = True
        self._filled.set()
        if self._committer is None:
            self._end()
        else:
            await asyncio.wait({self._committer})

    def submit(self, command: Command) -> asyncio.Future[Result]:
        """Put a command in the inbox and return the future of its result. No cancellation stops it then.

        The future raises `Refusal` with `ledger_unavailable` if the command was not carried out.
        """
        return self._enter(command)

    async def authorize(self, command: Authorize) -> Granted | Regrouped | Refused:
        """Hold funds for a call. If the caller is cancelled meanwhile, the hold is voided.

        Raises `Refusal` with `ledger_unavailable`: then there is no hold.
        """
        try:
            return cast("Granted | Regrouped | Refused", await self._enter(command))
        except asyncio.CancelledError:
            outcome = Outcome("client_left", 499, "void", {}, command.at_us)
            self._enter(command.void(outcome))
            raise

    async def extend(self, command: Extend) -> Granted | Refused:
        """Hold more for a call in flight. Raises `Refusal` with `ledger_unavailable`."""
        return cast("Granted | Refused", await self._enter(command))

    async def reroute(self, command: Reroute) -> Done | Refused:
        """Name another upstream on a hold. It is durable on return, and only then may the call be sent there.

        Raises `Refusal` with `ledger_unavailable`.
        """
        return cast("Done | Refused", await self._enter(command))

    def detach(self, command: Detach) -> asyncio.Future[Done | Refused]:
        """Let a hold outlive this process, until its deadline; it is durable when the future has its result.

        It is not lost, as a close is not. The future raises `Refusal` with `ledger_unavailable` if the store
        is away for too long; the hold is then voided when it is back.
        """
        return self._enter(command)

    def observe(self, command: Observe) -> asyncio.Future[Done | Refused]:
        """Checkpoint what a call has used so far. The caller need not await it, nor read a refusal."""
        return self._enter(command)

    def settle(self, command: Settle) -> asyncio.Future[Settled | Refused]:
        """Close a hold with a charge; it is durable when the future has its result.

        The result is `Refused` for a hold that does not exist or is another call's. The future raises
        `Refusal` with `ledger_unavailable` if the store is away for too long. The hold is closed when it is
        back, as `Settle.unanswered` says; if the ledger is closed before that, the next process closes it.
        """
        return self._enter(command)

    def void(self, command: Void) -> asyncio.Future[Settled | Refused]:
        """Close a hold without a charge; otherwise as `settle`."""
        return self._enter(command)

    async def command(self, command: Command) -> Done:
        """Carry out a command of the administration. Raises `Refusal` if it is refused or not carried out."""
        result = await self._enter(command)
        if isinstance(result, Refused):
            raise refusal(result)
        return cast("Done", result)

    async def recover(self, now_us: int, on_shortfall: OnShortfall = "forgive") -> list[tuple[Hold, Settled]]:
        """Close all orphans, see `Store.orphans`; returns those that it closed, each with what came of it.

        Jobs are left alone, also those whose deadline has passed: whoever polls asks about each once more.

        One that cannot be closed, because its account's books do not add up, stays open: `tasks` reports the
        fault, and the other orphans are closed. Raises `Refusal` with `ledger_unavailable` if the ledger was
        closed meanwhile.
        """
        holds = [hold for hold in await self._store.orphans(now_us) if hold.deadline_us is None]
        futures = [self._enter(Recover.of(hold, now_us, on_shortfall)) for hold in holds]
        results = await asyncio.gather(*futures, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and self._ended:
                raise result
        return [
            (hold, result)
            for hold, result in zip(holds, results, strict=True)
            if isinstance(result, Settled) and not result.replayed
        ]

    def _enter(self, command: Command) -> asyncio.Future[Any]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        ticket = Ticket(command, self._loop.create_future())
        if self._ended or not (self.available or ticket.closes):
            ticket.turn_away()
        else:
            self._inbox.append(ticket)
            self._filled.set()
        return ticket.future

    async def _commit_all(self) -> None:
        try:
            while self._inbox or not self._closing:
                if self._inbox:
                    await self._gather()
                    await self._commit()
                else:
                    self._rhythm.pause()
                    self._filled.clear()
                    await self._filled.wait()
        finally:
            self._end()

    def _end(self) -> None:
        self._ended = True
        while self._inbox:
            self._inbox.popleft().turn_away()

    async def _gather(self) -> None:
        """Let a batch that is not full grow for a moment, in a dense rhythm and not while closing."""
        if self._rhythm.is_dense and len(self._inbox) < self._max_batch and not self._closing:
            await self._sleep(GATHER_SECONDS)

    async def _commit(self) -> None:
        """Carry out one batch. Its tickets leave the inbox only afterwards, so that none is lost."""
        commands = [
            ticket.command for ticket in islice(self._inbox, 1 if self._one_by_one else self._max_batch)
        ]
        self._one_by_one = max(0, self._one_by_one - 1)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            results = await self._store.apply(commands)
        except LedgerLost as error:
            self._note_outage(str(error))
            self._end()
            return
        except LedgerUnavailable as error:
            self._note_outage(str(error))
            self._away_since = started if self._away_since is None else self._away_since
            await self._wait_for_store(len(commands), clock() - self._away_since)
            return
        except Exception as error:  # noqa: BLE001 - the callers must learn of any fault.
            self._tasks.spawn(_report(error), name="ledger batch")
            self._set_apart(len(commands))
            return
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._outage = ""
        self._away_since = None
        self._rhythm.beat(len(commands))
        if self._on_batch is not None:
            self._on_batch(len(commands), clock() - started)
        for result in results:
            self._inbox.popleft().resolve(result)

    def _note_outage(self, reason: str) -> None:
        """Report each outage once, however many batches it stops."""
        if self._on_outage is not None and reason != self._outage:
            self._on_outage(reason)
        self._outage = reason

    def _set_apart(self, tried: int) -> None:
        """After a fault, try the batch again command by command. One that fails alone is turned away."""
        if tried > 1:
            self._one_by_one = tried
        else:
            self._inbox.popleft().turn_away()

    async def _wait_for_store(self, tried: int, away_seconds: float) -> None:
        """Turn away every command that closes no hold, and try the others again after a while.

        When the store has been away for too long their callers wait no longer.
        Once the ledger is closing, the first `tried` have had their last chance, and are turned away too.
        """
        waiting, self._inbox = self._inbox, deque()
        is_long = away_seconds >= self._patience_seconds
        for index, ticket in enumerate(waiting):
            if ticket.closes and not (self._closing and index < tried):
                self._inbox.append(ticket.unanswered() if is_long else ticket)
            else:
                ticket.turn_away()
        if self._closing or not self._inbox:
            return
        self._down = True
        try:
            await self._sleep(self._retry_seconds)
        finally:
            self._down = False
        self._retry_seconds = min(2 * self._retry_seconds, LAST_RETRY_SECONDS)


async def _report(error: Exception) -> None:
    raise error
