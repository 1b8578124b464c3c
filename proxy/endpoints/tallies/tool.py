"""The tally of a tool's reply, whatever its form: which bytes wait for the charge, and what its figures tell.

Nothing within such a reply says whether it is whole: it is, when its bytes have ended properly. So

- events and lines, which a client reads one by one, pass as they come. What they cost is on the hold before;
- a small reply of any other form is kept back whole, so that its head can tell what it cost;
- of a larger one, and of sound, video and plain bytes, only the last byte is kept back.
"""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Final

import msgspec

from proxy.endpoints.base import Cost, Headers, HeadReader, Reading
from proxy.endpoints.formulas import NOTHING_KNOWN, Known
from proxy.endpoints.reading.body import LARGE_BYTES, read_body, without_mark
from proxy.endpoints.reading.pointer import OddName, Pointer, value_in
from proxy.endpoints.reading.steps import first_byte, joined
from proxy.endpoints.sources import Source
from proxy.endpoints.tallies.lines import name_and_data
from proxy.endpoints.tallies.sse import Splitter
from proxy.endpoints.tool_plan import Failure, Measure, figure_text
from proxy.errors import Refusal
from proxy.metering.quantities import number_of, quantity_of
from proxy.metering.usage import MAX_QUANTITY, METERS, ONE_CALL, Inference, Usage

KEPT_BYTES: Final = 65_536
"""Up to this size a reply of no streaming form is kept back whole."""
READ_BYTES_MAX: Final = 8_388_608
"""The largest reply, or event or line of one, in which a figure is looked for."""

CHUNK_BYTES: Final = 4_096
"""How much of a stream is searched for figures at once, on the event loop."""

EVENTS: Final = "text/event-stream"
LINES: Final = frozenset(
    {
        "application/json-lines",
        "application/json-seq",
        "application/jsonl",
        "application/jsonlines",
        "application/ndjson",
        "application/stream+json",
        "application/x-jsonl",
        "application/x-jsonlines",
        "application/x-ndjson",
    }
)
"""The types of replies that are read line by line."""
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]{1,64}")
_FLOWING: Final = ("audio/", "video/", "application/octet-stream")
"""The beginnings of types that are played or stored as they come."""


class _Figure(msgspec.Struct, frozen=True):
    """A figure that is looked for: that of a meter, or the part of its formula with this index.

    It may be a flag where it is one at most.
    """

    meter: str
    source: Source
    part: int | None = None
    is_flag: bool = False


class Figures:
    """What the documents of one reply tell of some measures: the largest figure of each, never a sum.

    `failed` is whether any of them tells an error. `known` is what the request says of formulas, by meter.
    """

    def __init__(
        self,
        measures: tuple[Measure, ...],
        failure: Failure | None = None,
        known: Mapping[str, Known] = NOTHING_KNOWN,
    ) -> None:
        self.anomalies = 0
        self.failed = False
        self._failure = failure
        self._told: dict[str, int] = {}
        self._parts: dict[tuple[str, int], Fraction] = {}
        self._formulas = {one.meter: one.formula for one in measures if one.formula is not None}
        self._known = known
        figures = [figure for one in measures for figure in _figures_of(one)]
        self._of_body = tuple(one for one in figures if one.source.place == "answer")
        self._of_headers = tuple(one for one in figures if one.source.place == "answer_header")
        # A document without one of these names has no figure, and need not be decoded.
        sources = [one.source for one in self._of_body] + ([failure.source] if failure is not None else [])
        self._names = tuple(_plain_name(source.pointer) for source in sources)

    @property
    def are_in_body(self) -> bool:
        """Whether the body tells any, or an error."""
        return bool(self._names)

    @property
    def told(self) -> dict[str, int]:
        """The quantities that are told, by meter; those of formulas of which every part is."""
        return {**self._told, **self._worked_out(partly=False)} if self._formulas else self._told

    @property
    def said(self) -> dict[str, int]:
        """As `told`, and those of formulas of which only some parts are: of the others what is assumed."""
        return {**self._told, **self._worked_out(partly=True)} if self._formulas else self._told

    def _worked_out(self, *, partly: bool) -> dict[str, int]:
        found: dict[str, int] = {}
        for meter, formula in self._formulas.items():
            known = self._known.get(meter, (None,) * len(formula.parts))
            values = tuple(self._parts.get((meter, part), value) for part, value in enumerate(known))
            is_told = any(meter == each for each, _ in self._parts) if partly else None not in values
            quantity = formula.quantity(formula.filled(values, assumed=True), meter) if is_told else None
            if quantity is not None:
                found[meter] = quantity
        return found

    def read_headers(self, headers: Headers) -> None:
        """Take what headers tell; of one that is given twice the larger."""
        for figure in self._of_headers:
            for name, value in headers:
                if name.lower() == figure.source.name.lower():
                    self._note(figure, value.strip())

    def read(self, document: bytes) -> None:
        """Take what a JSON object tells; any other document tells nothing."""
        document = without_mark(document)
        if not any(name in document for name in self._names) or first_byte(document) != b"{":
            return
        try:
            body = read_body(document)
            if self._failure is not None:
                value = value_in(body, self._failure.source.pointer)
                self.failed = self.failed or (value is not None and self._failure.is_told_by(value))
            for figure in self._of_body:
                value = value_in(body, figure.source.pointer)
                if value is not None and (first := first_byte(value)) != b"n":
                    flag = _FLAGS.get(first) if figure.is_flag else None
                    self._note(figure, flag or figure_text(value))
        except (Refusal, OddName):
            self.anomalies += 1

    def _note(self, figure: _Figure, text: str) -> None:
        if figure.part is not None:
            self._note_part(figure.meter, figure.part, number_of(text))
            return
        quantity = quantity_of(text, figure.meter)
        if quantity is None:
            self.anomalies += 1
        elif quantity > self._told.get(figure.meter, -1):
            self._told[figure.meter] = quantity

    def _note_part(self, meter: str, part: int, number: Fraction | None) -> None:
        if number is None or number > MAX_QUANTITY:
            self.anomalies += 1
        elif number > self._parts.get((meter, part), -1):
            self._parts[meter, part] = number


_FLAGS: Final[Mapping[bytes, str]] = {b"t": "1", b"f": "0"}
"""What `true` and `false` count, by their first byte: what is so is one, and what is not is none."""


def _figures_of(measure: Measure) -> Iterator[_Figure]:
    if measure.formula is None:
        is_flag = measure.most == METERS[measure.meter].scale
        yield _Figure(measure.meter, measure.source, is_flag=is_flag)
        return
    for index, part in enumerate(measure.formula.parts):
        yield _Figure(measure.meter, part.source, index, part.most == 1)


def _plain_name(pointer: Pointer) -> bytes:
    """A name that a document cannot be without that has a value there; empty where none is sure."""
    return next((name.encode() for name in reversed(pointer) if _PLAIN_NAME.fullmatch(name)), b"")


class ToolTally(HeadReader):
    """Reads a reply that can be anything, for what its figures tell.

    `assumed` is charged where they do not, by meter, for each of `measures`: that is an anomaly. `known` is
    what the request says of formulas.
    """

    done = False
    choices_finished = False

    def __init__(
        self,
        measures: tuple[Measure, ...] = (),
        assumed: Mapping[str, int] | None = None,
        failure: Failure | None = None,
        known: Mapping[str, Known] = NOTHING_KNOWN,
    ) -> None:
        self._figures = Figures(measures, failure, known)
        self._assumed = assumed or {}
        self._form = ""
        self._splitter = Splitter(READ_BYTES_MAX)
        self._pieces: list[bytes] = []
        self._kept: list[bytes] = []
        self._passes = False
        self._size = 0
        self._seen_bytes = 0
        self._is_unread = False
        self._has_ended = False

    def read_head(self, headers: Headers) -> bool:
        """The type decides what passes when, and headers may have figures."""
        self._figures.read_headers(headers)
        kind = next((value for name, value in headers if name.lower() == "content-type"), "")
        self._form = kind.partition(";")[0].strip().lower()
        self._passes = self._form.startswith(_FLOWING)
        return self._is_stream

    @property
    def _is_stream(self) -> bool:
        return self._form == EVENTS or self._form in LINES

    @property
    def complete(self) -> bool:
        """Its bytes have ended properly."""
        return self._has_ended

    @property
    def failed(self) -> bool:
        """It tells an error."""
        return self._figures.failed

    @property
    def anomalies(self) -> int:
        """Figures that are no sane quantities, or that a whole reply is without."""
        told = self._figures.told if self._has_ended else self._assumed
        missing = sum(meter not in told for meter in self._assumed)
        return max(missing, self._figures.anomalies)

    @property
    def produced_size(self) -> int:
        """The bytes that have passed as they came; 0 of a reply that is worth nothing before its end."""
        return self._size if self._is_stream else 0

    @property
    def has_data(self) -> bool:
        """The end of the reply tells what it comes to."""
        return self._figures.are_in_body

    @property
    def pending_bytes(self) -> int:
        """Bytes in which figures are still to be looked for.

        In a stream there are so many always that a chunk above `CHUNK_BYTES` is read in a thread: it may hold
        thousands of events.
        """
        if self._is_stream and self._figures.are_in_body and not self._is_unread:
            return max(self._seen_bytes, LARGE_BYTES - CHUNK_BYTES)
        return self._seen_bytes

    def feed(self, chunk: bytes) -> bytes:
        """What may go on now of all that has come."""
        if not chunk:
            return b""
        self._size += len(chunk)
        self._look(chunk)
        if self._is_stream:
            return chunk
        self._kept.append(chunk)
        if not self._passes and self._size <= KEPT_BYTES:
            return b""
        self._passes = True
        whole = b"".join(self._kept)
        self._kept = [whole[-1:]]
        return whole[:-1]

    def finish(self) -> None:
        """The last byte has come: look for figures in what is left."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._form == EVENTS:
            self._take_event(self._splitter.finish())
        elif self._pieces:
            self._figures.read(joined(self._pieces))
        self._forget()

    def tail(self, cost: Cost | None = None) -> bytes:  # noqa: ARG002 - the form has no place that is known for it.
        """What was kept back."""
        return b"".join(self._kept)

    def reported(self) -> Reading:
        """One request, and for each measure its figure, or what is assumed without one."""
        told = self._figures.told
        inferred: dict[str, Inference] = {meter: "assumed" for meter in self._assumed if meter not in told}
        return Reading({**ONE_CALL, **self._assumed, **self._figures.said}, self.anomalies, inferred)

    def output_text(self) -> str:
        """No text of a model."""
        return ""

    def produced(self, text_tokens: int, model: str) -> Usage:  # noqa: ARG002 - there is no text.
        """What it comes to, as far as its figures have come."""
        return {**self._assumed, **self._figures.said}

    def _look(self, chunk: bytes) -> None:
        """Look for figures in whole events and lines; the bytes of any other form wait for the last one."""
        if not self._figures.are_in_body or self._is_unread:
            return
        if self._form == EVENTS:
            self._look_in_events(chunk)
            return
        self._pieces.append(chunk)
        self._seen_bytes += len(chunk)
        if self._form in LINES and b"\n" in chunk:
            *lines, rest = joined(self._pieces).split(b"\n")
            self._pieces, self._seen_bytes = [rest] if rest else [], len(rest)
            for line in lines:
                self._figures.read(line.lstrip(b"\x1e"))
        if self._seen_bytes > READ_BYTES_MAX:
            self._is_unread = True
            self._forget()

    def _look_in_events(self, chunk: bytes) -> None:
        try:
            events = self._splitter.feed(chunk)
            self._seen_bytes = self._splitter.pending_bytes
            for event in events:
                self._take_event(event)
        except Refusal:
            self._is_unread = True
            self._forget()

    def _take_event(self, event: bytes) -> None:
        data = name_and_data(without_mark(event))[1] if event else None
        if data is not None:
            self._figures.read(data)

    def _forget(self) -> None:
        self._pieces, self._seen_bytes = [], 0
