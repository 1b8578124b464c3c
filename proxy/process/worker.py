"""A process that serves, from its start to its drain: event loop, signals and garbage collector."""

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import uvloop

from proxy.config.load import Settings, load
from proxy.config.source import ConfigError
from proxy.demo import demo_upstream
from proxy.edge.aiohttp_server import refuse_pure_python_parser
from proxy.logs import configure_logging
from proxy.metering.model_names import encoding_names
from proxy.metering.vocabulary import SHARED, VocabularyError
from proxy.process import signals
from proxy.process.app import Farebox
from proxy.process.descriptors import raise_limit
from proxy.process.quickstart import welcome
from proxy.process.supervisor import Lifeline
from proxy.storage.faults import StorageLost
from proxy.tasks import Tasks

SWITCH_SECONDS: Final = 0.0005
"""How long a busy event loop may hold the interpreter while the thread that syncs the ledger waits."""
GC_THRESHOLDS: Final = (10_000, 20, 10)


def prepare(settings: Settings) -> None:
    """Configure the log, and load what all workers share in memory. It runs once, before any of them.

    Raises RuntimeError without aiohttp's C parser.
    """
    refuse_pure_python_parser()
    raise_limit()
    configure_logging(settings.log.level, settings.log.format)
    preload(settings)


def preload(settings: Settings) -> None:
    """Load every vocabulary that a call of these settings may be counted with.

    One takes up to half a second, and stops all threads for a part of it: too long for the first call that
    needs it, and for the others in flight then.
    """
    routes = settings.routes
    models = {target.model for route in routes.all for target in route.targets if target.model}
    SHARED.preload(frozenset().union(*map(encoding_names, {*routes.globs, *models})))


class WorkerSlot(msgspec.Struct, frozen=True):
    """A worker's place among several: the port and the folder of figures that all share, and its lifeline."""

    port: int
    figures_folder: str
    lifeline: Lifeline


def run(settings: Settings, path: Path, slot: WorkerSlot | None = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the file at `path` again.

    With a `slot` it is one of several workers, and also ends when its supervisor does. `prepare` comes first.
    Raises OSError for a taken address, StorageFault for a database that cannot be used, StorageLost for one
    that was lost meanwhile.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    # What is loaded by now stays, so the collector need not look through it again. Calls leave few cycles, so
    # it may look for them less often.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    if slot is None:
        uvloop.run(serve_until_stopped(Farebox(settings), path, None))
    else:
        farebox = Farebox(settings, port=slot.port, shares_port=True, figures_folder=slot.figures_folder)
        uvloop.run(serve_until_stopped(farebox, path, slot.lifeline))


async def serve_until_stopped(farebox: Farebox, path: Path, lifeline: Lifeline | None) -> None:
    """Start, serve until a signal, the end of the lifeline or a loss, and drain. Raises as `run`.

    A stop during the start breaks it off.
    """
    log = structlog.get_logger("farebox")
    settings = farebox.settings
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    one_by_one = asyncio.Lock()

    async def reload_in_turn() -> None:
        async with one_by_one:
            await reload(farebox, path)

    def reload_unless_stopping() -> None:
        if not stopping.is_set():
            farebox.tasks.spawn(reload_in_turn(), name="reload")

    signals.handle(
        stop=lambda: loop.call_soon_threadsafe(stopping.set),
        reload=lambda: loop.call_soon_threadsafe(reload_unless_stopping),
    )

    async def start() -> None:
        await farebox.start(on_loss=stopping.set)
        if settings.quickstart is not None:
            await welcome(farebox.ledger, farebox.store, farebox.clock, settings, farebox.port)

    async with contextlib.AsyncExitStack() as stack:
        stack.callback(signals.ignore)
        if lifeline is not None:
            stack.callback(loop.remove_reader, lifeline.gone)
            loop.add_reader(lifeline.gone, stopping.set)
        if settings.quickstart is not None:
            await stack.enter_async_context(demo_upstream(settings.quickstart.port))
        stack.push_async_callback(farebox.stop)
        if await ended_before(stopping, start()):
            log.info("listening", host=settings.server.host, port=farebox.port, pid=os.getpid())
            if lifeline is not None:
                lifeline.ready()
            await stopping.wait()
        if lifeline is not None:
            # It stays readable, and would keep the loop busy all through the drain.
            loop.remove_reader(lifeline.gone)
        log.info("draining", calls=farebox.gateway.in_flight, pid=os.getpid())
    if farebox.loss:
        raise StorageLost(farebox.loss)


async def ended_before(stopping: asyncio.Event, step: Coroutine[Any, Any, None]) -> bool:
    """Whether a step ends before a stop; a stop cancels it, and waits for its end. Raises as the step."""
    tasks = Tasks(lambda *_: None)  # What the step raises is raised here, and needs no other report.
    running, stopped = tasks.spawn(step, name="start"), tasks.spawn(stopping.wait(), name="stop")
    try:
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
            return True
    finally:
        await tasks.drain(0)
    return False


async def reload(farebox: Farebox, path: Path) -> None:
    """Put the file's settings in force; a bad file leaves the old ones, and the log says why.

    Vocabularies that the new routes need are loaded in a thread first.
    """
    try:
        settings = load(path, os.environ)
        await asyncio.to_thread(preload, settings)
        farebox.reload(settings)
    except (ConfigError, OSError, VocabularyError) as error:
        log_bad_reload(error)
    else:
        structlog.get_logger("farebox").info("reloaded", file=str(path))


def log_bad_reload(error: Exception) -> None:
    """Log why a changed file is not in force."""
    structlog.get_logger("farebox").error("reload refused, the old configuration stays", reason=str(error))
