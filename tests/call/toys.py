"""Families that are not of text, made up for tests: they have what a call asks of one, and no more."""

import json
from collections.abc import Mapping
from typing import Final

import msgspec

from proxy.endpoints.base import Cost, Endpoint, ForwardPlan, Headers, Reading
from proxy.endpoints.features import NO_PARAMETERS, Feature
from proxy.metering.ceiling import Ceiling
from proxy.metering.usage import Needed, Usage
from proxy.money import parse_amount
from proxy.pricing.rates import Rate
from tests.call.fakes import Asked


class Lines:
    """The tally of both: a line of the answer is one unit of `meter`; `END {...}` reports the usage."""

    failed = False
    anomalies = 0
    pending_bytes = 0
    has_data = False
    done = False

    def __init__(self, meter: str | None) -> None:
        self._meter = meter
        self._last = b""
        self.choices_finished = False
        self.produced_size = 0
        self._reported: dict[str, int] | None = None

    @property
    def complete(self) -> bool:
        return self.choices_finished

    def feed(self, chunk: bytes) -> bytes:
        if chunk.startswith(b"END"):
            self.choices_finished = True
            self._last, self._reported = chunk, json.loads(chunk.removeprefix(b"END"))
            return b""
        self.produced_size += chunk.count(b"\n")
        return chunk

    def finish(self) -> None:
        """Nothing is left to read."""

    def tail(self, cost: Cost | None = None) -> bytes:
        return self._last

    def reported(self) -> Reading | None:
        return Reading(self._reported) if self._reported else None

    def output_text(self) -> str:
        return ""

    def produced(self, text_tokens: int, model: str) -> Usage:
        return {self._meter: self.produced_size} if self._meter else {}


class Ask(msgspec.Struct, frozen=True):
    """A request of either: it streams, and its ceiling is the family's."""

    model: str
    most: Ceiling
    exact: Ceiling
    stream: bool = True
    end_user: str = ""
    labels: str = ""
    features: tuple[Feature, ...] = ()
    parameters: Mapping[str, str] = NO_PARAMETERS

    def ceiling(self) -> Ceiling:
        return self.most

    def ceiling_exact(self) -> Ceiling:
        return self.exact

    def estimate(self, model: str) -> Usage:
        return self.exact.fixed

    def input_text_length(self) -> int:
        return 0

    def forward_body(self, plan: ForwardPlan) -> bytes:
        return json.dumps({"most": plan.output_bound}).encode()

    def tally(self, *, keep_usage: bool = False) -> Lines:
        return Lines(self.most.elastic)


class Pages:
    """Pictures of the pages of a text: each character costs, and each page. There are no tokens.

    A price may depend on `size`, which is small by default, and on `quality`.
    """

    name = "pages"
    path = "/v1/pages"
    upstream_path = "/pages"
    meters: Needed = ("characters", "images")
    repeatable = True

    def read(self, body: bytes, headers: Headers = ()) -> Ask:
        request = json.loads(body)
        pages, text = request.get("pages"), request["text"]
        exact = Ceiling({"characters": len(text)}, "images", pages, request.get("copies", 1))
        most = msgspec.structs.replace(exact, fixed={"characters": 2 * len(text)})
        sizes = {"size": request.get("size", "small")}
        sizes |= {"quality": request["quality"]} if "quality" in request else {}
        return Ask(request["model"], most, exact, parameters=sizes)


class Transcripts:
    """Seconds of sound that were heard, and nothing that an upstream could be told to use less of."""

    name = "transcripts"
    path = "/v1/transcripts"
    upstream_path = "/transcripts"
    meters = ("audio_seconds",)
    repeatable = False

    def read(self, body: bytes, headers: Headers = ()) -> Ask:
        request = json.loads(body)
        seconds = request["seconds"]
        return Ask(
            request["model"], Ceiling({"audio_seconds": 10 * seconds}), Ceiling({"audio_seconds": seconds})
        )


TOYS: Final[dict[str, Endpoint]] = {each.path: each for each in (Pages(), Transcripts())}
TOY_RATES: Final = (
    Rate("characters", parse_amount("0.000001"), 1),
    Rate("images", parse_amount("0.01"), 1),
    Rate("audio_seconds", parse_amount("0.001"), 1),
)
CHARACTER_NANO: Final = 1_000
PAGE_NANO: Final = 10_000_000
SECOND_NANO: Final = 1_000_000


class AskedPages(Asked):
    """A request for pages; `text` is ten characters."""

    path = "/v1/pages"

    def __init__(self, **more: object) -> None:
        super().__init__(True, "req_1", text="0123456789", **more)


class AskedTranscript(Asked):
    """A request for the transcript of ten seconds, which could be a hundred by its bytes."""

    path = "/v1/transcripts"

    def __init__(self) -> None:
        super().__init__(True, seconds=10)
