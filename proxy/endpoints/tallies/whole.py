"""The tally of a reply that is one JSON object: it is kept back until its charge is on the ledger."""

from collections.abc import Callable
from typing import Final

from proxy.endpoints.base import Cost, Reading
from proxy.endpoints.reading.body import LARGE_BYTES, without_mark
from proxy.endpoints.reading.steps import joined
from proxy.endpoints.tallies.cost import with_cost
from proxy.endpoints.tallies.foreign import foreign_text
from proxy.endpoints.tallies.members import OddPart, Part
from proxy.endpoints.tallies.part import read_part
from proxy.endpoints.tallies.produced import NO_ECHO, Echo, Produced
from proxy.endpoints.tallies.served import NOTHING_TOLD, Told, told_by
from proxy.endpoints.tallies.usage import Report, UsageReport
from proxy.errors import Refusal
from proxy.metering.usage import Usage

REPLY_BYTES_MAX: Final = 134_217_728
"""How large a reply may be that is kept back whole: all embeddings one call can ask for take half of it."""


class WholeTally:
    """Buffers a reply and reads it at its end. Blank lines may come first: upstreams send them as they work.

    `read` gives what matters in the bytes, and None for what is no JSON object; `report` makes what usage
    objects are added to. `has_output` is False for
    replies that are no text, such as embeddings: their usage is input only.
    """

    listens = False
    pending_bytes = 0
    done = False
    choices_finished = False
    _size_bytes = 0
    _part: Part | None = None
    _failed = False
    _is_foreign = False
    _produced: Produced | None = None

    def __init__(
        self,
        *,
        read: Callable[[bytes], Part | None] = read_part,
        report: Callable[[], Report] = UsageReport,
        has_output: bool = True,
        keep_usage: bool = False,
        echo: Echo = NO_ECHO,
        limit_bytes: int = REPLY_BYTES_MAX,
    ) -> None:
        self._read = read
        self._has_output = has_output
        self._keep_usage = keep_usage
        self._limit_bytes = limit_bytes
        self._chunks: list[bytes] = []
        self._usage = report()
        self._echo = echo

    @property
    def complete(self) -> bool:
        """The reply is a JSON object, and no error."""
        if self.pending_bytes:
            self.finish()
        return self._part is not None and not self._failed

    @property
    def has_choices(self) -> bool:
        """The reply is a JSON object with answers in it."""
        if self.pending_bytes:
            self.finish()
        return self._part is not None and bool(self._part.choices)

    @property
    def failed(self) -> bool:
        """The reply is an error, although its status is not."""
        if self.pending_bytes:
            self.finish()
        return self._failed

    @property
    def told(self) -> Told:
        """What the reply names."""
        is_read = self._part is not None and self._chunks
        return told_by(without_mark(self._chunks[0])) if is_read else NOTHING_TOLD

    @property
    def anomalies(self) -> int:
        """Reported figures that were no sane quantities, and a form that is not known."""
        return self._usage.anomalies + self._is_foreign

    @property
    def produced_size(self) -> int:
        """UTF-8 bytes of all answers' text, and tokens of data; 0 while the reply is not read."""
        return self._output().size if self._part is not None else 0

    @property
    def has_data(self) -> bool:
        """Output came that is no text."""
        return self._output().data_tokens > 0

    def output_text(self) -> str:
        """All answers' text; empty while the reply is not read."""
        return self._output().text()

    def produced(self, text_tokens: int, model: str) -> Usage:
        """The tokens of text, data and calls as output; nothing of a reply that has no output."""
        output = self._output()
        return output.usage(text_tokens + output.call_tokens(model)) if self._has_output else {}

    def reported(self) -> Reading | None:
        """The usage at the top level of the reply."""
        if self.pending_bytes:
            self.finish()
        if not self._has_output:
            return self._usage.input_reading()
        reading = self._usage.reading()
        if reading is None or not isinstance(self._part, OddPart) or not self._part.uses:
            return reading
        return self._output().with_uses(reading)

    def feed(self, chunk: bytes) -> bytes:
        """Keep `chunk` back. Raises Refusal `upstream_invalid` when the reply grows too large."""
        self._size_bytes += len(chunk)
        self.pending_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            raise Refusal(
                "upstream_invalid", f"The upstream's answer is larger than {self._limit_bytes} bytes."
            )
        self._chunks.append(chunk)
        return b""

    def finish(self) -> None:
        """Read the reply, once all of it is there."""
        if not self.pending_bytes:
            return
        self.pending_bytes = 0
        is_short = self._size_bytes <= LARGE_BYTES
        whole = b"".join(self._chunks) if is_short else joined(self._chunks)
        self._chunks = [whole]
        self._part = self._read(without_mark(whole))
        if self._part is not None:
            self._failed = self._part.failed
            for usage in self._part.usages:
                self._usage.add(usage)
            self._is_foreign = self._has_output and self._part.is_foreign
            if len(whole) > LARGE_BYTES:
                self._output()  # This may be a thread; the text is asked for on the loop.

    def tail(self, cost: Cost | None = None) -> bytes:
        """The whole reply, with `cost` in its usage object if that was to be kept for it."""
        if self._keep_usage and cost is not None and self._chunks:
            self.finish()
            # The reply is let go of before the pieces of the changed one are joined: pictures make it large.
            self._chunks = with_cost(self._chunks[0], cost) or self._chunks
            return joined(self._chunks)
        return b"".join(self._chunks)

    def _output(self) -> Produced:
        """All answers' text, collected when first asked for: a reply with reported usage never needs it."""
        if self._produced is not None:
            return self._produced
        produced = Produced(self._echo)
        if self._part is None:
            return produced
        for choice in self._part.choices or ():
            for text in choice.texts():
                produced.add(choice.index, text)
            for place in choice.calls():
                produced.add_call(choice.index, place)
        if isinstance(self._part, OddPart) and not self._is_foreign:
            for index, payload in self._part.payloads:
                produced.put(index, payload)
            produced.use(self._part.uses)
        if self._is_foreign:
            produced.add(0, foreign_text(without_mark(self._chunks[0])))
        self._produced = produced
        return produced
