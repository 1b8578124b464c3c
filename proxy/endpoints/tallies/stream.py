"""The tally of a streamed reply: events pass untouched and at once, except those that would complete it."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from proxy.endpoints.base import Cost, Reading
from proxy.endpoints.reading.body import BYTE_ORDER_MARK, LARGE_BYTES, without_mark
from proxy.endpoints.reading.depth import DEPTH_MAX, is_too_deep
from proxy.endpoints.reading.steps import first_byte, joined
from proxy.endpoints.tallies.cost import put_cost_in_last
from proxy.endpoints.tallies.foreign import foreign_text
from proxy.endpoints.tallies.lines import name_and_data, only_data, stray_text
from proxy.endpoints.tallies.members import Choice, OddPart, Part
from proxy.endpoints.tallies.part import read_part
from proxy.endpoints.tallies.produced import NO_ECHO, Echo, Produced
from proxy.endpoints.tallies.served import NOTHING_TOLD, Told, told_by
from proxy.endpoints.tallies.sse import EVENT_BYTES_MAX, Splitter
from proxy.endpoints.tallies.usage import Report, UsageReport
from proxy.endpoints.tallies.whole import WholeTally
from proxy.errors import Refusal
from proxy.metering.usage import Usage

_DONE: Final = b"[DONE]"


class StreamTally:
    """Reads the events of a reply. `read` gives what matters in an event's data, `report` sums usage up.

    `[DONE]`, or an event that ends the reply, and all that follows is kept back; of that only usage counts.
    The event that holds nothing but the usage is swallowed if `swallow_usage`. With `keep_usage` every event
    with a usage is kept back until the next one comes, so that `tail` can put the cost into the last. A JSON
    object in place of events is a whole body, and `WholeTally` takes it from there. What is of no known form
    is counted as text.
    """

    def __init__(
        self,
        *,
        read: Callable[[bytes], Part | None] = read_part,
        report: Callable[[], Report] = UsageReport,
        swallow_usage: bool = False,
        keep_usage: bool = False,
        echo: Echo = NO_ECHO,
    ) -> None:
        self._read_part = read
        self._new_report = report
        self._swallow_usage = swallow_usage and not keep_usage
        self._keep_usage = keep_usage
        self._splitter = Splitter()
        self._usage = report()
        self._produced = Produced(echo)
        self._echo = echo
        self._body: WholeTally | None = None
        self.done = False
        self._running: set[int] = set()
        self._ended: set[int] = set()
        self._begun = False
        self._failed = False
        self._finished = False
        self._refusal: Refusal | None = None
        self._unreadable = 0
        self._late = b""
        self._ahead: tuple[Part | None] | None = None
        self._kept_usage = b""
        self.listens = False
        self._told = NOTHING_TOLD
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    @property
    def told(self) -> Told:
        """What the events with the usage name, the last one first."""
        return self._body.told if self._body is not None else self._told

    @property
    def choices_finished(self) -> bool:
        """Every choice that was begun has ended with a reason."""
        return bool(self._ended) and not self._running

    @property
    def complete(self) -> bool:
        """`[DONE]` came, or every choice ended with a reason, or it is a whole body; and no error."""
        self._finish()
        if self._body is not None:
            return self._body.complete and self._body.has_choices
        return (self.done or self.choices_finished) and not self._failed and self._refusal is None

    @property
    def failed(self) -> bool:
        """An event or the whole body reports an error."""
        self._finish()
        return self._body.failed if self._body is not None else self._failed

    @property
    def anomalies(self) -> int:
        """Events of no known form, and reported figures that were no sane quantities."""
        return self._body.anomalies if self._body is not None else self._unreadable + self._usage.anomalies

    @property
    def pending_bytes(self) -> int:
        """Bytes of the event that is not complete yet, or of the whole body."""
        return self._body.pending_bytes if self._body is not None else self._splitter.pending_bytes

    @property
    def produced_size(self) -> int:
        """UTF-8 bytes of the text so far, and tokens of data."""
        return self._body.produced_size if self._body is not None else self._produced.size

    @property
    def has_data(self) -> bool:
        """Output came that is no text."""
        return self._body.has_data if self._body is not None else self._produced.data_tokens > 0

    def output_text(self) -> str:
        """All text so far, one choice after the other."""
        return self._body.output_text() if self._body is not None else self._produced.text()

    def produced(self, text_tokens: int, model: str) -> Usage:
        """The text's tokens, those of data, and what calls of tools take beside, as output."""
        if self._body is not None:
            return self._body.produced(text_tokens, model)
        return self._produced.usage(text_tokens + self._produced.call_tokens(model))

    def reported(self) -> Reading | None:
        """The usage from the top level of events, field by field the largest."""
        self._finish()
        if self._body is not None:
            return self._body.reported()
        reading = self._usage.reading()
        if reading is None:
            return None
        return self._produced.with_uses(replace(reading, anomalies=reading.anomalies + self._unreadable))

    def feed(self, chunk: bytes) -> bytes:
        """The whole events that `chunk` completes and that may go on now.

        Raises Refusal `upstream_invalid` for what may not pass, but first returns what came before it: that
        is counted, and so the client gets it.
        """
        if self._body is not None:
            return self._body.feed(chunk)
        if self.done or self._finished:
            return self._feed_late(chunk)
        if (data := only_data(chunk)) is not None and self._read_usual(data):
            return chunk
        passing: list[bytes] = []
        try:
            self._take_all(self._splitter.feed(chunk), passing)
        except Refusal as refusal:
            self._finished, self._refusal = True, refusal
            if not passing:
                raise
        return b"".join(passing)

    def finish(self) -> None:
        """Read what came after the last whole event: the upstream may leave out its empty line.

        Raises Refusal `upstream_invalid` for what may not pass.
        """
        self._finish()
        if self._refusal is not None:
            raise self._refusal

    def tail(self, cost: Cost | None = None) -> bytes:
        """What was kept back, with `cost` in the usage event or the whole body, if there is one."""
        self._finish()
        if self._body is not None:
            return self._body.tail(cost)
        kept = [self._late, self._kept_usage, *self._kept]
        if cost is None or not self._keep_usage:
            return b"".join(filter(None, kept))
        # What is large takes a while to let go of, and this may be a thread.
        self._late = self._kept_usage = b""
        self._kept.clear()
        put_cost_in_last(kept, cost)
        return joined(kept)

    def _feed_late(self, chunk: bytes) -> bytes:
        if self._refusal is not None:
            raise self._refusal
        self._keep(chunk)
        if self.done:
            self._note_late(self._splitter.feed(chunk))
        return b""

    def _take_all(self, events: list[bytes], passing: list[bytes]) -> None:
        for at, event in enumerate(events):
            if not self._begun and _begins_object(event):
                self._take_body(b"".join((*events[at:], self._splitter.finish())))
                break
            if self._take(event, passing):
                self.done = True
                late, rest = events[at + 1 :], self._splitter.finish()
                self._keep(*late, rest)
                self._note_late([*late, *self._splitter.feed(rest)])
                break

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        unreadable = self._unreadable
        rest = self._splitter.finish()
        if not self._begun and _begins_object(rest):
            self._take_body(rest)
        if self._body is not None:
            self._body.finish()
        elif rest and self.done:
            self._note_late([rest])
        elif rest:
            self._take_rest(rest)
        # An event that broke off is no anomaly of those before it.
        self._unreadable = unreadable

    def _take_rest(self, rest: bytes) -> None:
        late: list[bytes] = []
        try:
            self.done = self._take(rest, late)
        except Refusal as refusal:
            self._refusal = refusal
        self._late = b"".join(late)

    def _read_usual(self, data: bytes) -> bool:
        """Read the data of a chunk that is one event and can pass as it is. False: it is not noted yet."""
        if self._splitter.pending_bytes or self._kept_usage or not data.startswith(b"{"):
            return False
        part = self._read_part(data)
        if part is None or part.usage is not None or part.x_groq is not None or part.choices is None:
            self._ahead = (part,)
            return False
        if part.timings is not None or part.ends:
            self._ahead = (part,)
            return False
        self._begun = True
        self._note(part)
        return True

    def _take(self, event: bytes, passing: list[bytes]) -> bool:
        """Put one event with those that pass or those that are kept, or leave it out. True for the last."""
        name, data = self._opened(event if self._begun else without_mark(event))
        self._begun = self._begun or data is not None
        if data is None and first_byte(event) == b"{":
            self._read(event, b"")
            self._keep(event)
        elif data is None and self._kept_usage:
            self._keep(event)
        elif data is None:
            stray = stray_text(event)
            if len(stray) > LARGE_BYTES:
                raise _unreadable()
            self._unreadable += bool(stray)
            self._note_foreign(stray)
            passing.append(event)
        elif data.startswith(_DONE) or ((part := self._read(data, name)) is not None and part.ends):
            self._keep(event)
            return True
        elif part is not None and part.has_usage:
            self._take_usage(event, part, passing)
        elif part is not None and self._kept_usage and part.is_idle:
            self._keep(event)
        else:
            self._release(passing)
            passing.append(event)
        return False

    def _opened(self, event: bytes) -> tuple[bytes, bytes | None]:
        """The name and the data of an event, as `name_and_data`, for `_read`."""
        return name_and_data(event)

    def _take_usage(self, event: bytes, part: Part, passing: list[bytes]) -> None:
        if part.is_usage_only and self._swallow_usage:
            return
        self._release(passing)
        # Some servers report with every event: which one is the last shows when no other follows.
        if self._keep_usage:
            self._kept_usage = event
        else:
            passing.append(event)

    def _release(self, passing: list[bytes]) -> None:
        """Pass a kept usage event on: it was not the last one."""
        if self._kept_usage:
            passing += (self._kept_usage, *self._kept)
            self._kept_usage = b""
            self._kept = []
            self._kept_bytes = 0

    def _keep(self, *pieces: bytes) -> None:
        self._kept += filter(None, pieces)
        self._kept_bytes += sum(map(len, pieces))
        if self._kept_bytes > EVENT_BYTES_MAX:
            raise Refusal(
                "upstream_invalid",
                f"The upstream sent more than {EVENT_BYTES_MAX} bytes after its last event.",
            )

    def _take_body(self, beginning: bytes) -> None:
        self._body = WholeTally(
            read=self._read_part,
            report=self._new_report,
            keep_usage=self._keep_usage,
            echo=self._echo,
            limit_bytes=EVENT_BYTES_MAX,
        )
        self._body.feed(beginning)

    def _read(self, data: bytes, name: bytes) -> Part | None:
        # A reader may remember what it has read, so that it gets each event once.
        part = self._read_part(data) if self._ahead is None else self._ahead[0]
        self._ahead = None
        if part is None:
            # A client may be able to read it: what passed would be its for nothing.
            if is_too_deep(data):
                raise Refusal(
                    "upstream_invalid", f"The upstream sent an event nested more than {DEPTH_MAX} deep."
                )
            if len(data) > LARGE_BYTES:
                raise _unreadable()
            self._unreadable += 1
            self._note_foreign(data)
            return None
        if name == b"error":
            self._failed = True
        elif part.is_foreign:
            self._unreadable += self._note_foreign(data)
        self._note(part)
        if self.listens and part.has_usage:
            self._told = told_by(data).over(self._told)
        return part

    def _note_foreign(self, data: bytes) -> bool:
        """Count as text what is of no known form; of the rest of a stream, which does not pass, nothing."""
        text = foreign_text(data) if data else ""
        if text and not self._finished:
            self._produced.add(0, text)
        return bool(text)

    def _note(self, part: Part) -> None:
        for choice in part.choices or ():
            self._read_choice(choice)
        if isinstance(part, OddPart) and not part.is_foreign:
            for index, payload in part.payloads:
                self._produced.put(index, payload)
            self._produced.use(part.uses)
        if part.usage is not None or part.x_groq is not None or part.timings is not None:
            self._note_usage(part)
        if part.tells_error:
            self._failed = True

    def _note_usage(self, part: Part) -> None:
        for usage in part.usages:
            self._usage.add(usage)

    def _note_late(self, events: Sequence[bytes]) -> None:
        """Read the usage in events that came after the end; some upstreams report it only then."""
        for event in events:
            data = name_and_data(event)[1] or b""
            part = self._read_part(data)
            if part is not None:
                self._note_usage(part)
                if self.listens and part.has_usage:
                    self._told = told_by(data).over(self._told)

    def _read_choice(self, choice: Choice) -> None:
        index = choice.index
        if choice.finish_reason:
            self._ended.add(index)
            self._running.discard(index)
            self._failed = self._failed or choice.finish_reason == "error"
        elif index not in self._ended:
            self._running.add(index)
        for text in choice.texts():
            self._produced.add(index, text)
        delta = choice.delta
        if delta is not None and (delta.tool_calls or delta.function_call):
            for place in choice.calls():
                self._produced.add_call(index, place)


def _begins_object(event: bytes) -> bool:
    return first_byte(event, len(BYTE_ORDER_MARK) if event.startswith(BYTE_ORDER_MARK) else 0) == b"{"


def _unreadable() -> Refusal:
    return Refusal("upstream_invalid", "The upstream sent a large event that cannot be read.")
