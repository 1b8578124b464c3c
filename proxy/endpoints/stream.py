"""The tally of a streamed reply: events pass untouched and at once, all but those that would complete it."""

from typing import Final

from proxy.endpoints.base import Reading
from proxy.endpoints.openai_usage import UsageReport
from proxy.endpoints.produced import NO_ECHO, Echo, Produced
from proxy.endpoints.reply import Choice, Part, read_part
from proxy.endpoints.sse import EVENT_BYTES_MAX, Splitter, name_and_data, only_data
from proxy.endpoints.usage_cost import event_with_cost
from proxy.errors import Refusal

_DONE: Final = b"[DONE]"


class StreamTally:
    """Watches the events of a chat or a completion.

    `[DONE]` and all that follows is kept back. The event that holds nothing but the usage is swallowed if
    `swallow_usage`; with `keep_usage` it is kept back instead, so that `tail` can put the cost in. A reply
    that is no stream although one was asked for is read as a whole body, and kept back.
    """

    def __init__(
        self, *, swallow_usage: bool = False, keep_usage: bool = False, echo: Echo = NO_ECHO
    ) -> None:
        self._swallow_usage = swallow_usage and not keep_usage
        self._keep_usage = keep_usage
        self._splitter = Splitter()
        self._usage = UsageReport()
        self._produced = Produced(echo)
        self.done = False
        self._running: set[int] = set()
        self._ended: set[int] = set()
        self._is_body = False
        self._failed = False
        self._finished = False
        self._unreadable = 0
        self._late = b""
        self._kept_usage = b""
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    @property
    def spoken(self) -> bool:
        """Every choice that was begun has ended with a reason."""
        return bool(self._ended) and not self._running

    @property
    def complete(self) -> bool:
        """`[DONE]` came, every choice ended with a reason, or it was a whole body after all; and no error."""
        self.finish()
        return (self.done or self._is_body or self.spoken) and not self._failed

    @property
    def failed(self) -> bool:
        """An event told of an error."""
        self.finish()
        return self._failed

    @property
    def anomalies(self) -> int:
        """Events that were no JSON objects, and reported figures that were no sane quantities."""
        return self._unreadable + self._usage.anomalies

    @property
    def pending_bytes(self) -> int:
        """Bytes of the event that is not complete yet."""
        return self._splitter.pending_bytes

    @property
    def output_bytes(self) -> int:
        """UTF-8 bytes of the text so far."""
        return self._produced.size_bytes

    def output_text(self) -> str:
        """All text so far, one choice after the other."""
        return self._produced.text()

    def reported(self) -> Reading | None:
        """The usage from the top level of events, field by field the largest."""
        self.finish()
        reading = self._usage.reading()
        if reading is None:
            return None
        return Reading(reading.usage, reading.anomalies + self._unreadable)

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that `chunk` completes and that may go on now."""
        if self.done or self._finished:
            self._keep(chunk)
            return b""
        if (data := only_data(chunk)) is not None and self._read_usual(data):
            return chunk
        passing: list[bytes] = []
        events = self._splitter.feed(chunk)
        for at, event in enumerate(events, 1):
            if self._take(event, passing):
                self.done = True
                self._keep(*events[at:], self._splitter.finish())
                break
        return b"".join(passing)

    def finish(self) -> None:
        """Read what came after the last whole event: the upstream may leave out its empty line."""
        if self._finished:
            return
        self._finished = True
        rest = self._splitter.finish()
        if rest:
            late: list[bytes] = []
            unreadable = self._unreadable
            self.done = self._take(rest, late)
            self._late = b"".join(late)
            # That an event broke off says nothing about the ones before.
            self._unreadable = unreadable

    def tail(self, cost: str | None = None) -> bytes:
        """What was kept back, with `cost` in the usage event if there is one."""
        self.finish()
        usage = self._kept_usage
        if usage and cost is not None:
            usage = event_with_cost(usage, name_and_data(usage)[1] or b"", cost)
        return b"".join((self._late, usage, *self._kept))

    def _read_usual(self, data: bytes) -> bool:
        """Read the data of a chunk that is one event, if that can simply pass; else nothing has happened."""
        if self._splitter.pending_bytes or self._kept_usage or not data.startswith(b"{"):
            return False
        part = read_part(data)
        if part is None or part.usage is not None:
            return False
        self._note(part)
        return True

    def _take(self, event: bytes, passing: list[bytes]) -> bool:
        """Put one event where it belongs: with those that pass, those kept, or nowhere. True for the last."""
        name, data = name_and_data(event)
        if data is None and event.lstrip().startswith(b"{"):
            part = self._read(event, name)
            self._is_body = part is not None and bool(part.choices)
            self._keep(event)
        elif data is None and self._kept_usage:
            self._keep(event)
        elif data is None:
            passing.append(event)
        elif data.startswith(_DONE):
            self._keep(event)
            return True
        elif (part := self._read(data, name)) is not None and isinstance(part.usage, dict):
            self._take_usage(event, part, passing)
        else:
            self._release(passing)
            passing.append(event)
        return False

    def _take_usage(self, event: bytes, part: Part, passing: list[bytes]) -> None:
        if part.is_usage_only and self._swallow_usage:
            return
        self._release(passing)
        # Some servers report with every event; only what comes with or after the end can be the last.
        if self._keep_usage and (part.is_usage_only or (self._ended and not self._running)):
            self._kept_usage = event
        else:
            passing.append(event)

    def _release(self, passing: list[bytes]) -> None:
        """Let a kept usage event go: it was not the last one."""
        if self._kept_usage:
            passing += (self._kept_usage, *self._kept)
            self._kept_usage = b""
            self._kept = []
            self._kept_bytes = 0

    def _keep(self, *pieces: bytes) -> None:
        self._kept += pieces
        self._kept_bytes += sum(map(len, pieces))
        if self._kept_bytes > EVENT_BYTES_MAX:
            raise Refusal(
                "upstream_invalid",
                f"The upstream sent more than {EVENT_BYTES_MAX} bytes after its last event.",
            )

    def _read(self, data: bytes, name: bytes) -> Part | None:
        part = read_part(data)
        if part is None:
            self._unreadable += 1
            return None
        if name == b"error":
            self._failed = True
        self._note(part)
        return part

    def _note(self, part: Part) -> None:
        for choice in part.choices or ():
            self._read_choice(choice)
        if part.usage is not None:
            self._usage.add(part.usage)
        if isinstance(part.x_groq, dict):
            self._usage.add(part.x_groq.get("usage"))
        if part.failed:
            self._failed = True

    def _read_choice(self, choice: Choice) -> None:
        index = choice.index
        if choice.finish_reason:
            self._ended.add(index)
            self._running.discard(index)
        elif index not in self._ended:
            self._running.add(index)
        message = choice.delta or choice.message
        if message is not None:
            for text in message.texts():
                self._produced.add(index, text)
        elif choice.text:
            self._produced.add(index, choice.text)
