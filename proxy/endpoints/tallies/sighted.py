"""Tallies of replies that tell of an object: of what an upstream made, and how far it is."""

import re
from collections.abc import Callable
from typing import Final, Literal, Protocol

import msgspec
from msgspec.structs import replace

from proxy.endpoints.base import Cost, Reading, Tally
from proxy.endpoints.reading.body import LARGE_BYTES, without_mark
from proxy.endpoints.reading.depth import is_too_deep
from proxy.endpoints.reading.steps import joined
from proxy.endpoints.tallies.whole import REPLY_BYTES_MAX
from proxy.errors import Refusal
from proxy.metering.usage import Usage

State = Literal["running", "complete", "failed", "deleted"]
"""How far an object is. What is no job is `complete` from its first day."""

_ID: Final = re.compile(r"[A-Za-z0-9_~:-][A-Za-z0-9_~:.-]{0,255}")
_NO_REQUEST: Final[Usage] = {"requests": 0}


def is_id(text: str) -> bool:
    """Whether a text can be an object's id: it is safe as a segment of a path, as it is."""
    return _ID.fullmatch(text) is not None


class Sighting(msgspec.Struct, frozen=True):
    """What an answer says of an object; with an empty `id`, of the one that it was asked about.

    The id of something new is "" where the upstream does not keep the object itself. `seen` is the JSON to be
    kept of it, "" to keep what was there. `within` are the ids of what it has in it that requests may name by
    themselves. `used` is what was reported of a job whose end tells that; `unreported` is the meter of what
    one has produced that has ended without telling.
    """

    id: str
    state: State
    seen: str = ""
    within: tuple[str, ...] = ()
    used: Reading | None = None
    unreported: str = ""


class SightedTally(Tally, Protocol):
    """The tally of a reply that may tell of an object; asked after the last byte."""

    @property
    def sighting(self) -> Sighting | None:
        """What it tells; None when it tells of none."""
        ...


class BeginningTally(SightedTally, Protocol):
    """The tally of a stream whose call begins a job. It keeps all back until the job is on the ledger.

    `waits` while it does; it stops by itself where no job shows.
    """

    waits: bool

    @property
    def begun(self) -> Sighting | None:
        """What has begun; None before the stream tells. Asked at any time."""
        ...

    @property
    def ended(self) -> Sighting | None:
        """How it has ended; None where the stream broke off before. Asked after the last byte."""
        ...

    def let_pass(self) -> bytes:
        """What was kept back; nothing is from now on."""
        ...


class PassingTally:
    """Passes bytes on, and keeps back the last piece. `sighting` is what a whole reply tells."""

    done = False
    choices_finished = False
    complete = True
    failed = False
    anomalies = 0
    produced_size = 0
    has_data = False
    pending_bytes = 0

    def __init__(self, sighting: Sighting | None) -> None:
        self.sighting = sighting
        self._last = b""

    def feed(self, chunk: bytes) -> bytes:
        """The piece before this one."""
        if not chunk:
            return b""
        passing, self._last = self._last, chunk
        return passing

    def finish(self) -> None:
        """Nothing is left to read."""

    def tail(self, cost: Cost | None = None) -> bytes:  # noqa: ARG002 - there is no usage object to put it in.
        """The last piece."""
        return self._last

    def reported(self) -> Reading:
        """No request that could be charged."""
        return Reading(dict(_NO_REQUEST))

    def output_text(self) -> str:
        """No text of a model."""
        return ""

    def produced(self, text_tokens: int, model: str) -> Usage:  # noqa: ARG002 - there is no text.
        """Nothing that is metered."""
        return {}


class JsonTally:
    """Keeps a reply back and reads at its end what it tells of an object.

    With `about`, only what it tells of that object counts, and any reply is a proper one: it is free.
    Without, it is the answer to a call that makes an object: it has to tell of one.
    """

    done = False
    choices_finished = False
    produced_size = 0
    has_data = False

    def __init__(self, read: Callable[[bytes], Sighting | None], *, about: str | None = None) -> None:
        self._read = read
        self._about = about
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self.sighting: Sighting | None = None
        self.pending_bytes = 0

    @property
    def complete(self) -> bool:
        """Whether the reply is what was asked for."""
        self.finish()
        return self._about is not None or (self.sighting is not None and self.sighting.state != "failed")

    @property
    def failed(self) -> bool:
        """Whether what was to be made has failed at once."""
        self.finish()
        return self._about is None and self.sighting is not None and self.sighting.state == "failed"

    @property
    def anomalies(self) -> int:
        """One where the reply of a call tells of another object than it is about."""
        return int(self._about is not None and self.sighting is None)

    def feed(self, chunk: bytes) -> bytes:
        """Keep `chunk` back. Raises Refusal `upstream_invalid` when the reply grows too large."""
        self._size_bytes += len(chunk)
        self.pending_bytes += len(chunk)
        if self._size_bytes > REPLY_BYTES_MAX:
            raise Refusal(
                "upstream_invalid", f"The upstream's answer is larger than {REPLY_BYTES_MAX} bytes."
            )
        self._chunks.append(chunk)
        return b""

    def finish(self) -> None:
        """Read the reply, once all of it is there."""
        if not self.pending_bytes:
            return
        self.pending_bytes = 0
        whole = b"".join(self._chunks) if self._size_bytes <= LARGE_BYTES else joined(self._chunks)
        self._chunks = [whole]
        text = without_mark(whole)
        sighting = None if is_too_deep(text) else self._read(text)
        if sighting is not None and not sighting.id and self._about is not None:
            sighting = replace(sighting, id=self._about)
        if sighting is not None and self._about in {None, sighting.id} and is_id(sighting.id):
            self.sighting = sighting

    def tail(self, cost: Cost | None = None) -> bytes:  # noqa: ARG002 - there is no usage object to put it in.
        """The whole reply."""
        return b"".join(self._chunks)

    def reported(self) -> Reading | None:
        """Nothing of a call that makes an object; what only asks for one is no request."""
        return None if self._about is None else Reading(dict(_NO_REQUEST))

    def output_text(self) -> str:
        """No text of a model."""
        return ""

    def produced(self, text_tokens: int, model: str) -> Usage:  # noqa: ARG002 - there is no text.
        """Nothing: what is made is metered by what was asked for."""
        return {}


class FreeJsonTally(JsonTally):
    """The same of a call that makes an object for free."""

    def reported(self) -> Reading:
        """No request that could be charged."""
        return Reading(dict(_NO_REQUEST))


class _Deletion(msgspec.Struct, frozen=True):
    """The members of an answer to DELETE that decide."""

    id: str
    deleted: bool


_DELETION: Final = msgspec.json.Decoder(_Deletion)


def read_deletion(data: bytes, unreported: str = "") -> Sighting | None:
    """What the answer to a DELETE says; None where it does not say that the object is deleted.

    It tells no usage: `unreported` is the meter of what a job of this kind may have produced by then.
    """
    try:
        answer = _DELETION.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return Sighting(answer.id, "deleted", unreported=unreported) if answer.deleted else None
