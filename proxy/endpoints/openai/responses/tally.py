"""The tallies of responses: as of any text, and they tell of the response that the upstream keeps."""

from typing import Final

from msgspec.structs import replace

from proxy.endpoints.base import Cost
from proxy.endpoints.openai.responses.part import ResponseReader
from proxy.endpoints.openai.responses.usage import ResponseUsage
from proxy.endpoints.tallies.sighted import Sighting
from proxy.endpoints.tallies.stream import StreamTally
from proxy.endpoints.tallies.whole import WholeTally

HELD_BYTES_MAX: Final = 65_536
"""A stream that has told no id by then is that of no job."""


class ResponseStream(StreamTally):
    """The tally of a streamed response. One that `is_kept` can be named by later requests."""

    def __init__(self, *, keep_usage: bool, is_kept: bool) -> None:
        self._reader = ResponseReader()
        self._is_kept = is_kept
        super().__init__(read=self._reader, report=ResponseUsage, keep_usage=keep_usage)

    @property
    def sighting(self) -> Sighting | None:
        """The response, once all of it has come."""
        return self._reader.sighting if self._is_kept else self._reader.unkept


class BackgroundStream(ResponseStream):
    """The tally of a streamed response that goes on in the background. A `BeginningTally`."""

    def __init__(self, *, keep_usage: bool) -> None:
        super().__init__(keep_usage=keep_usage, is_kept=True)
        self.waits = self._keeps = True
        self._held: list[bytes] = []
        self._held_bytes = 0

    @property
    def begun(self) -> Sighting | None:
        """The response as soon as its id has come."""
        return self._reader.begun

    @property
    def ended(self) -> Sighting | None:
        """The response once its end has come, with all that it used where that is told."""
        sighting = self.sighting
        if sighting is None or not self.done:
            return None
        used = self.reported()
        is_void = self.failed and used is None
        return replace(sighting, state="failed" if is_void else "complete", used=used)

    def let_pass(self) -> bytes:
        """What was kept back; nothing is from now on."""
        self.waits = self._keeps = False
        released = b"".join(self._held)
        self._held.clear()
        return released

    def feed(self, chunk: bytes) -> bytes:
        """What may go on now: nothing until it is let pass."""
        passing = super().feed(chunk)
        if not self._keeps:
            return passing
        self._held.append(passing)
        self._held_bytes += len(passing)
        self.waits = self.begun is not None or self._held_bytes <= HELD_BYTES_MAX
        return b""

    def tail(self, cost: Cost | None = None) -> bytes:
        """What was kept back, with `cost` in the event that has the usage."""
        return b"".join((*self._held, super().tail(cost)))


class ResponseWhole(WholeTally):
    """The tally of a whole response. One that `is_kept` can be named by later requests."""

    def __init__(self, *, keep_usage: bool, is_kept: bool) -> None:
        self._reader = ResponseReader()
        self._is_kept = is_kept
        super().__init__(read=self._reader, report=ResponseUsage, keep_usage=keep_usage)

    @property
    def sighting(self) -> Sighting | None:
        """The response, once all of it has come."""
        return self._reader.sighting if self._is_kept else self._reader.unkept
