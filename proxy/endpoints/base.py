"""The seam of an API family: how a request is read, what goes upstream, how a reply is tallied. Sans I/O."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from proxy.endpoints.features import Feature
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import Inference, Needed, Usage

Headers = Sequence[tuple[str, str]]
"""Names and values as they came, in order."""

Cost = str | Mapping[str, object]
"""The cost as a decimal string, or members of a usage object, of which `cost` is one."""


class ForwardPlan(msgspec.Struct, frozen=True, gc=False):
    """What the body for one target depends on.

    `model` is its name there. `output_bound` is set when the output was clamped: each choice may use so much
    of the elastic meter. `output_bound_field` is the upstream's only name for such a bound. `include_usage`
    asks a stream for its usage although the client did not.
    """

    model: str
    output_bound: int | None = None
    output_bound_field: str = "max_completion_tokens"
    include_usage: bool = True


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a tally has read so far: `usage` by meter, and how many reported fields had to be corrected.

    `inferred` has the meters whose figures the upstream did not give itself, and how each was found.
    """

    usage: dict[str, int]
    anomalies: int = 0
    inferred: Mapping[str, Inference] = {}


class Tally(Protocol):
    """Reads the bytes of one reply as they pass, and keeps back those that would complete it.

    Events that the client did not ask for may be left out. `complete`, `failed`, `reported` and `tail` are
    for after the last byte, and call `finish` if it was not called.
    """

    @property
    def done(self) -> bool:
        """The end itself has come: what follows is not part of the answer. Asked after each `feed`."""
        ...

    @property
    def choices_finished(self) -> bool:
        """All choices of a stream have ended: only its usage may still come. Asked at any time."""
        ...

    @property
    def complete(self) -> bool:
        """The reply came to its proper end; asked after the last byte."""
        ...

    @property
    def failed(self) -> bool:
        """The upstream reported an error within the reply."""
        ...

    @property
    def anomalies(self) -> int:
        """How many events could not be read, and how many figures had to be corrected."""
        ...

    @property
    def pending_bytes(self) -> int:
        """Bytes that were not read yet; the next `feed` or `finish` may read them all at once."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the reply and give those that may go to the client now.

        Raises Refusal `upstream_invalid` when a bound on sizes is passed.
        """
        ...

    def finish(self) -> None:
        """The last byte has come: read what is left. Idempotent; 1 ms per megabyte of `pending_bytes`."""
        ...

    def tail(self, cost: Cost | None = None) -> bytes:
        """The bytes kept back, to be sent when the charge is on the ledger. Called once, after the last byte.

        `cost` is a decimal string: it is added to the usage object of a tally that keeps it, if there is one.
        """
        ...

    def reported(self) -> Reading | None:
        """The usage the upstream reported, checked and merged; None when it reported none."""
        ...

    @property
    def produced_size(self) -> int:
        """How much was produced so far, without counting it; 0 for nothing.

        It never falls, and grows by at least as much as the elastic meter does: text has at least as many
        bytes as tokens.
        """
        ...

    @property
    def has_data(self) -> bool:
        """Output came that is no text, so that only reported usage tells what it takes. Asked at any time."""
        ...

    def output_text(self) -> str:
        """All text the model has produced so far, to be counted when nothing was reported.

        A long one is asked for in a thread, while `feed` may go on.
        """
        ...

    def produced(self, text_tokens: int, model: str) -> Usage:
        """What `model` has produced so far, by meter, when `output_text` comes to so many tokens."""
        ...


class HeadReader:
    """A base of tallies that are shown the headers of the answer; as it is, they mean nothing to it."""

    def read_head(self, headers: Headers) -> bool:
        """Take the headers of a good answer, before its first byte. True for a stream without an end to keep.

        Nothing of such a stream is kept back. So what `produced` gives is written on the hold before any of
        it passes, and is charged should Farebox crash.
        """
        del headers
        return False


class Ask(Protocol):
    """One request, read."""

    @property
    def model(self) -> str:
        """The public model asked for."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the reply is to be streamed."""
        ...

    @property
    def end_user(self) -> str:
        """Whom the caller says it is for; empty where it does not say."""
        ...

    @property
    def labels(self) -> str:
        """What the caller wrote beside it for itself: a JSON object of texts; empty where there is none."""
        ...

    @property
    def features(self) -> tuple[Feature, ...]:
        """What it turns on that its text does not bound."""
        ...

    @property
    def parameters(self) -> Mapping[str, str]:
        """Its parameters that a price may depend on, with the API's own defaults, by name.

        The names are the endpoint's in the registry's `PARAMETERS`.
        """
        ...

    def ceiling(self) -> Ceiling:
        """The most it can use, found without a tokenizer."""
        ...

    def ceiling_exact(self) -> Ceiling:
        """The same, counted by a tokenizer. Long text takes long: call it off the loop then."""
        ...

    def estimate(self, model: str) -> Usage:
        """What the request itself most likely amounts to where `model` reads it; at most the ceiling's.

        Long text and files take long: call it off the loop then.
        """
        ...

    def input_text_length(self) -> int:
        """Roughly how many characters `ceiling_exact` has to count."""
        ...

    def forward_body(self, plan: ForwardPlan) -> bytes:
        """The body for one target: the client's own bytes, except for the members that the plan changes."""
        ...

    def tally(self, *, keep_usage: bool = False) -> Tally:
        """A fresh tally for the reply to this request; with `keep_usage` the usage waits for its cost."""
        ...


class Endpoint(Protocol):
    """An API family. `meters` must be priced for a call to be let through.

    `path` is ours, `upstream_path` follows an upstream's base URL. A `repeatable` request may
    be sent to a second target although the first may have acted on it.
    """

    name: str
    path: str
    upstream_path: str
    repeatable: bool

    @property
    def meters(self) -> Needed:
        """What its calls use, by meter, or may use: a ceiling that is `either` has all of these."""
        ...

    def read(self, body: bytes, headers: Headers = ()) -> Ask:
        """Read a request's body, and those of its `headers` that can change what it costs.

        Raises Refusal `invalid_json` or `invalid_value`, naming the field.
        """
        ...


class Family(Endpoint, Protocol):
    """An endpoint whose calls name a model, with what the OpenAPI document says of it.

    `summary` is one sentence. `streams` says whether an answer can be a stream.
    """

    summary: str
    streams: bool

    @property
    def request(self) -> type[msgspec.Struct]:
        """The members of a body that decide about routing and money."""
        ...
