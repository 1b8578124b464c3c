"""What the answers about a tool's job tell: its id, how far it is, and what it has used by its end."""

import json
from fractions import Fraction

import pytest
from msgspec.structs import replace

from proxy.endpoints.formulas import Formula, Part
from proxy.endpoints.reading.pointer import pointer_of
from proxy.endpoints.sources import Source
from proxy.endpoints.tallies.sighted import Sighting
from proxy.endpoints.tool_jobs import JobTally, read_job
from proxy.endpoints.tool_plan import JobPlan, Measure, ToolPlan

ASSUMED = {"pages": 9}
JOB = JobPlan(
    Source("answer", "/data/id", pointer_of("/data/id")),
    pointer_of("/data/status"),
    frozenset({"done", "true", "2"}),
    frozenset({"error"}),
)
PLAN = ToolPlan((Measure("pages", Source("answer", "/used", pointer_of("/used")), most=9),), job=JOB)
HEADED = replace(JOB, id=Source("answer_header", "Operation-Location"))


def told(status: object = "run", *, id_: object = "a-1", **more: object) -> bytes:
    return json.dumps({"data": {"id": id_, "status": status}, **more}).encode()


def tally_of(answer: bytes, job: JobPlan = JOB, *, size: int = 0, **headers: str) -> JobTally:
    """The tally of an answer that came in pieces of a size, or at once."""
    tally = JobTally(PLAN, job, ASSUMED)
    assert not tally.read_head([(name.replace("_", "-"), value) for name, value in headers.items()])
    for start in range(0, len(answer), size or len(answer) or 1):
        assert tally.feed(answer[start : start + (size or len(answer))]) == b""
    tally.finish()
    assert tally.tail() == answer
    return tally


@pytest.mark.parametrize("size", [1, 2, 7, 64, 0])
@pytest.mark.parametrize("status", ["run", "done", "error"])
def test_the_pieces_of_an_answer_do_not_matter(size: int, status: str) -> None:
    tally = tally_of(told(status, used=3), size=size)
    used = {"pages": 3} if status == "done" else ASSUMED
    assert tally.sighting is not None
    assert (tally.sighting.id, tally.reported().usage) == ("a-1", {"requests": 1, **used})
    assert (tally.complete, tally.failed) == (status != "error", status == "error")


@pytest.mark.parametrize(
    ("id_", "found"),
    [
        ("a.b~c:d_e-1", "a.b~c:d_e-1"),
        (17, "17"),
        ("https://up/v1/jobs/42?x=/y", "42"),
        ("/v1/jobs/42/", "42"),
        ("", None),
        ("a b", None),
        ("..", None),
        ("a%2Fb", None),
        ("x" * 257, None),
        (None, None),
        (["a"], None),
        ({"a": 1}, None),
    ],
)
@pytest.mark.parametrize("place", ["answer", "answer_header"])
def test_an_id_is_safe_in_a_path_or_none(place: str, id_: object, found: str | None) -> None:
    if place == "answer":
        sighting = tally_of(told(id_=id_)).sighting
    elif isinstance(id_, str):
        sighting = tally_of(b"", HEADED, Operation_Location=id_).sighting
    else:
        return
    assert (sighting and sighting.id) == found


def test_a_header_that_is_given_twice_has_no_id() -> None:
    tally = JobTally(PLAN, HEADED, ASSUMED)
    tally.read_head([("operation-location", "a"), ("Operation-Location", "a")])
    tally.finish()
    assert (tally.sighting, tally.complete) == (None, False)


@pytest.mark.parametrize("answer", [b"", b"Accepted", b"[1]", told("done", used=3)])
def test_an_id_in_the_head_begins_a_job_whatever_the_body_is(answer: bytes) -> None:
    sighting = tally_of(answer, HEADED, Operation_Location="a").sighting
    assert sighting is not None
    assert (sighting.id, sighting.state) == ("a", "complete" if b"done" in answer else "running")


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (told("Done"), "complete"),
        (told(True), "complete"),
        (told(2), "complete"),
        (told("ERROR"), "failed"),
        (told("?"), "running"),
        (told(None), "running"),
        (told(["done"]), "running"),
        (told({"done": 1}), "running"),
        (b'{"data": {"status": "done", "status": "run"}}', "running"),
        (b'{"data": {"status": "done", "Status": "run"}}', "running"),
        (b'{"status": "done"}', "running"),
        (b"{}", "running"),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_a_status_that_is_not_listed_or_could_be_read_in_two_ways_ends_nothing(
    answer: bytes, state: str | None
) -> None:
    sighting = read_job(PLAN, JOB, answer)
    assert (sighting and (sighting.id, sighting.state)) == (state and ("", state))


def test_a_quantity_of_several_figures_is_told_by_the_last_answer() -> None:
    """All of them; where some are not told, what is assumed of these is inferred."""
    parts = tuple(
        Part(Source("answer", f"/{name}", (name,)), Fraction(most))
        for name, most in (("used", 9), ("each", 7))
    )
    measure = Measure("pages", parts[0].source, 63, formula=Formula("product", parts, 2))
    plan = ToolPlan((measure,), job=JOB)
    for more, pages, inferred in (({"each": 3}, 8, {}), ({}, 18, {"pages": "assumed"})):
        sighting = read_job(plan, JOB, told("done", used=5, **more))
        assert sighting is not None
        assert sighting.used is not None
        assert (sighting.used.usage, sighting.used.inferred) == ({"pages": pages}, inferred)


@pytest.mark.parametrize(
    ("used", "pages", "anomalies"),
    [(3, 3, 0), ("3", 3, 0), ([1, 2], 2, 0), (0, 0, 0), (None, None, 1), (-1, None, 1), (1e300, None, 1)],
)
def test_what_an_end_tells_is_its_own_top_level_figure(
    used: object, pages: int | None, anomalies: int
) -> None:
    """One that is echoed deeper in it changes nothing."""
    sighting = read_job(PLAN, JOB, told("done", used=used, output={"used": 1, "data": {"status": "error"}}))
    assert isinstance(sighting, Sighting)
    assert sighting.used is not None
    assert sighting.used.usage == ({} if pages is None else {"pages": pages})
    assert sighting.used.anomalies == anomalies
    assert sighting.used.inferred == ({"pages": "assumed"} if pages is None else {})
