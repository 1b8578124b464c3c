"""Jobs of tools: calls that are answered with an id, by which they are asked for until they end. Sans I/O."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from proxy.endpoints.base import Headers, HeadReader, Reading
from proxy.endpoints.objects import ObjectKind, ObjectRoute
from proxy.endpoints.reading.body import JsonBody, read_body
from proxy.endpoints.reading.pointer import OddName, Pointer, value_in
from proxy.endpoints.reading.steps import first_byte
from proxy.endpoints.tallies.sighted import JsonTally, Sighting, State, is_id
from proxy.endpoints.tallies.tool import Figures
from proxy.endpoints.tool_plan import JobPlan, Measure, ToolPlan, figure_text
from proxy.errors import Refusal
from proxy.metering.usage import ONE_CALL, Inference, Usage

ENDPOINT: Final = "tools"
ANSWER_BYTES: Final = 16_777_216
"""The largest answer about a job that the poller reads; its results may come with it."""


class JobTally(JsonTally, HeadReader):
    """The tally of an answer that begins a job, or that shows its end at once.

    `assumed` is what the job comes to where its end does not tell, by meter.
    """

    def __init__(self, plan: ToolPlan, job: JobPlan, assumed: Usage) -> None:
        super().__init__(self._begun)
        self._plan = plan
        self._job = job
        self._assumed = assumed
        self._id = ""
        self._is_error = False

    def read_head(self, headers: Headers) -> bool:
        """A header may have the id; one that is given twice says nothing."""
        name = self._job.id.name.lower()
        if self._job.id.place == "answer_header":
            values = [value for each, value in headers if each.lower() == name]
            self._id = _segment(values[0]) if len(values) == 1 else ""
        return False

    def finish(self) -> None:
        """Read the reply; with an id in its head, a body that tells nothing is that of a job that runs."""
        super().finish()
        if self.sighting is None and not self._is_error and is_id(self._id):
            self.sighting = Sighting(self._id, "running")

    @property
    def failed(self) -> bool:
        """Whether it tells an error, or that the job has failed at once."""
        self.finish()
        return self._is_error or super().failed

    def reported(self) -> Reading:
        """What the job comes to: as far as it has ended what it tells, else what is assumed."""
        told = self.sighting.used if self.sighting is not None else None
        inferred: dict[str, Inference] = dict.fromkeys(self._assumed, "assumed")
        if told is None:
            return Reading({**ONE_CALL, **self._assumed}, 0, inferred)
        return Reading({**ONE_CALL, **self._assumed, **told.usage}, told.anomalies, told.inferred)

    def _begun(self, data: bytes) -> Sighting | None:
        self._is_error = _is_error(self._plan, data)
        body = _object(data)
        if body is None or self._is_error:
            return None
        id_ = self._id
        if self._job.id.place == "answer":
            id_ = _segment(_text(body, self._job.id.pointer) or "")
        return _sighting(id_, self._plan, self._job, body, data)


def read_job(plan: ToolPlan, job: JobPlan, data: bytes) -> Sighting | None:
    """What an answer about a job says of it, without its id; None for anything that is no JSON object."""
    body = _object(data)
    return None if body is None else _sighting("", plan, job, body, data)


def kind_of(
    route: str, plan: ToolPlan, paths: tuple[str, str], routes: Sequence[ObjectRoute]
) -> ObjectKind | None:
    """The kind of the jobs of one route, None for calls that are none.

    `paths` are ours and the upstream's, which an id follows. The first of `routes` tells how far a job is.
    """
    job = plan.job
    if job is None:
        return None
    path, upstream_path = paths
    of_answer = _of_answer(plan)
    return ObjectKind(
        name=f"{route} job",
        endpoint=ENDPOINT,
        path=path,
        upstream_path=upstream_path,
        meters=tuple(measure.meter for measure in plan.measures) or tuple(ONE_CALL),
        read=partial(read_job, plan, job),
        routes=tuple(routes),
        tells_usage=bool(of_answer),
        answer_bytes=ANSWER_BYTES,
    )


def _sighting(id_: str, plan: ToolPlan, job: JobPlan, body: JsonBody, data: bytes) -> Sighting:
    state = _state(plan, job, body, data)
    return Sighting(id_, state, used=_used(plan, data) if state == "complete" else None)


def _state(plan: ToolPlan, job: JobPlan, body: JsonBody, data: bytes) -> State:
    """How far a job is. A status that is not listed is one of a job that runs."""
    status = _text(body, job.status)
    if status is None:
        return "running"
    if status.casefold() in job.failed:
        return "failed"
    if status.casefold() in job.complete:
        return "failed" if _is_error(plan, data) else "complete"
    return "running"


def _used(plan: ToolPlan, data: bytes) -> Reading | None:
    """What the end of a job tells of its measures; None where they are all its request's."""
    measures = _of_answer(plan)
    if not measures:
        return None
    figures = Figures(measures)
    figures.read(data)
    missing: Mapping[str, Inference] = {
        measure.meter: "assumed" for measure in measures if measure.meter not in figures.told
    }
    return Reading(figures.said, max(len(missing), figures.anomalies), missing)


def _of_answer(plan: ToolPlan) -> tuple[Measure, ...]:
    return tuple(measure for measure in plan.measures if not measure.is_of_request)


def _is_error(plan: ToolPlan, data: bytes) -> bool:
    if plan.failure is None:
        return False
    figures = Figures((), plan.failure)
    figures.read(data)
    return figures.failed


def _object(data: bytes) -> JsonBody | None:
    try:
        return read_body(data)
    except Refusal:
        return None


def _text(body: JsonBody, pointer: Pointer) -> str | None:
    """The value at a pointer as a text; None for null, none, and what could be read in two ways."""
    try:
        value = value_in(body, pointer)
    except (OddName, Refusal):
        return None
    if value is None or first_byte(value) in {b"n", b"{", b"["}:
        return None
    return figure_text(value)


def _segment(text: str) -> str:
    """An id, of which an address has it for the last segment of its path."""
    return text.strip().partition("?")[0].rstrip("/").rpartition("/")[2]
