"""`python -m tests.call.stalls`: how long hostile bodies and replies of 64 MB hold the event loop, and where.

Each value stands at each place of each family's body and reply, which comes whole and as one event of a
stream. A line tells the longest stall and the whole processor time in milliseconds, the memory beyond what
was sent as a multiple of it, and what held the interpreter longest.
"""

import argparse
import asyncio
import gc
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final, Self

import msgspec

from proxy.metering.vocabulary import SHARED
from tests.call.fakes import WHOLE
from tests.call.hostile import (
    MEGABYTE,
    REPLIES,
    VALUES,
    Shape,
    Strain,
    chunks,
    one_call,
    worker_switches,
)
from tests.call.hostile_bodies import ASKS, BODIES

POLL_SECONDS: Final = 0.0003


class Case(msgspec.Struct, frozen=True):
    """A call to measure, made when it is its turn."""

    name: str
    path: str
    make: Callable[[], tuple[bytes, list[bytes]]]


def cases(size: int) -> Iterator[Case]:
    """All of them."""
    for name, shape in VALUES.items():
        for path, places in BODIES.items():
            for place, template in places.items():
                yield Case(
                    f"body {path[4:]} {place}: {name}", path, partial(with_body, template, shape, size)
                )
        for place, template in REPLIES.items():
            for kind in ("whole", "event", "named", "unreported"):
                path = "/v1/embeddings" if place == "data" and kind == "whole" else "/v1/chat/completions"

                make = partial(with_reply, template, shape, size, kind, path)
                yield Case(f"{kind} {place}: {name}", path, make)


def with_body(template: bytes, shape: Shape, size: int) -> tuple[bytes, list[bytes]]:
    """A large body, and an ordinary reply."""
    return template.replace(b"$", shape(size)), WHOLE


def with_reply(template: bytes, shape: Shape, size: int, kind: str, path: str) -> tuple[bytes, list[bytes]]:
    """An ordinary body, and a large reply."""
    text = template.replace(b"$", shape(size - 200))
    if kind == "unreported":
        text = text.replace(b'"usage"', b'"x"')
    if kind == "named":
        text = b"event: a\ndata:" + text + b"\n\ndata: [DONE]\n\n"
    elif kind != "whole":
        text = b"data: " + text + b"\n\ndata: [DONE]\n\n"
    return ASKS[path].replace(b"$", b"false" if kind == "whole" else b"true"), chunks(text)


class Watch:
    """A thread that tells what held the interpreter when it came late to its turn."""

    def __init__(self) -> None:
        self.worst: list[tuple[float, str]] = []
        self._ended = False
        self._main = threading.get_ident()
        self._turned = time.process_time()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join()
        self.worst.sort(reverse=True)

    async def turn(self) -> None:
        """Note each turn of the loop."""
        while not self._ended:
            self._turned = time.process_time()
            await asyncio.sleep(POLL_SECONDS)

    def _run(self) -> None:
        me = threading.get_ident()
        before, told = time.process_time(), 0.0
        while not self._ended:
            time.sleep(POLL_SECONDS)
            now = time.process_time()
            late_ms = 1_000 * (now - before)
            frames = sys._current_frames()
            if late_ms > 4:
                places = [place(frame) for ident, frame in frames.items() if ident != me]
                self.worst.append((late_ms, " | ".join(filter(None, places))))
            elif now - self._turned > 0.006 and self._turned != told:
                told = self._turned
                self.worst.append((1_000 * (now - told), "LOOP " + place(frames[self._main])))
            before = time.process_time()


def place(frame: FrameType | None) -> str:
    """Where in the project a thread is; empty for one that waits."""
    if frame is not None and frame.f_code.co_name in {"_worker", "wait", "select", "_run_once"}:
        return ""
    found: list[str] = []
    while frame is not None and len(found) < 2:
        path = frame.f_code.co_filename
        if "/proxy/" in path or "/tests/" in path:
            found.append(f"{Path(path).name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found)


def status_kb(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


async def measured(case: Case, tries: int, enough_ms: float) -> str:
    """The line for a case."""
    body, reply = case.make()
    sent_kb = (len(body) + sum(map(len, reply))) / 1024
    least, worst, copies, code = Strain(10**9, 10**9), [], 0.0, ""
    for _ in range(tries):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        before_kb = status_kb("VmRSS")
        with Watch() as watch:
            turns = asyncio.ensure_future(watch.turn())
            found, code = await one_call(case.path, body, reply)
        await turns
        copies = (status_kb("VmHWM") - before_kb) / sent_kb
        if found.stall_ms < least.stall_ms:
            least, worst = found, watch.worst
        if least.stall_ms <= enough_ms:
            break
    held = "; ".join(f"{ms:.0f} {where}" for ms, where in worst[:3])
    return f"{least.stall_ms:8.1f} {least.total_ms:9.0f} {copies:6.1f}  {case.name} [{code}] {held}"


async def main(options: argparse.Namespace) -> None:
    SHARED.preload(["o200k_base"])
    gc.collect()
    gc.freeze()
    wanted = re.compile(options.only)
    found = [case for case in cases(int(options.size * MEGABYTE)) if wanted.search(case.name)]
    for case in found[options.first :: options.every]:
        sys.stdout.write(await measured(case, options.tries, options.enough) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a pattern of names")
    parser.add_argument("--size", type=float, default=64)
    parser.add_argument("--tries", type=int, default=2)
    parser.add_argument("--enough", type=float, default=8)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    with worker_switches():
        asyncio.run(main(parser.parse_args()))
