"""Jobs of routes with a path as kinds of objects in use: what each can be asked, and by which paths."""

from collections.abc import Iterator, Sequence
from typing import Final

from proxy.config.faults import Findings
from proxy.config.paths import is_reserved, path_fault
from proxy.config.schema import RouteSchema
from proxy.config.tool_schema import JobSchema
from proxy.endpoints.objects import ObjectKind, ObjectRoute
from proxy.endpoints.tool_jobs import kind_of
from proxy.endpoints.tool_plan import ToolPlan
from proxy.upstream.path_templates import may_meet, variables_of
from proxy.upstream.routes import Route
from proxy.validation import Path

_ID: Final = "/{id}"


def kind_made(schema: RouteSchema, plan: ToolPlan, path: Path, findings: Findings) -> ObjectKind | None:
    """The kind of the jobs that a route's calls begin, None where they begin none.

    Faults go to `findings`.
    """
    job = schema.job
    if job is None:
        return None
    _check_route(schema, path, findings)
    place = (*path, "job")
    ours = theirs = _beginning(job.path, (*place, "path"), findings)
    if job.target_path is not None:
        theirs = _beginning(job.target_path, (*place, "target_path"), findings)
    if ours and is_reserved(job.path):
        findings.fault((*place, "path"), "is answered by Farebox itself", job.path)
    return kind_of(schema.name or "", plan, (ours, theirs), _routes(job, place, findings))


def check_meetings(routes: Sequence[Route], findings: Findings) -> None:
    """No request about a job may match the path of a route, or that of another job."""
    for index, route in enumerate(routes):
        for mine in _paths(route):
            others = [one.path for one in routes if one.path]
            others += [other for one in routes[:index] for other in _paths(one)]
            if (met := next((other for other in others if may_meet(mine, other)), None)) is not None:
                message = f"can be the same path as {met}, which is served too"
                findings.fault(("routes", index, "job", "path"), message, mine)


def _paths(route: Route) -> Iterator[str]:
    """The paths of a route's jobs."""
    if route.makes is not None:
        yield from dict.fromkeys(path for _, path, *_ in route.makes.paths())


def _check_route(schema: RouteSchema, path: Path, findings: Findings) -> None:
    """What a route of jobs needs, and what it cannot have."""
    if schema.name is None:
        findings.fault((*path, "name"), "is missing; the jobs of a route are kept by its name")
    if schema.methods != ["POST"]:
        findings.fault((*path, "methods"), "must be POST alone where calls begin jobs")
    if schema.charged_statuses:
        findings.fault((*path, "charged_statuses"), "cannot be where calls begin jobs")
    for meter, measure in schema.measures.items():
        if measure.answer_header is not None:
            place = (*path, "measures", meter, "answer_header")
            findings.fault(place, "is not read of a job: only the body of its last answer is")
        parts = (*measure.product, *measure.sum)
        of_answer = sum(part.answer is not None for part in parts)
        if any(part.answer_header is not None for part in parts) or of_answer not in {0, len(parts)}:
            message = "must be told by the request alone, or by the body of the last answer alone, in a job"
            findings.fault((*path, "measures", meter), message)


def _beginning(path: str, place: Path, findings: Findings) -> str:
    """The part of a job's path before its id; empty for a path that is none."""
    fault = path_fault(path)
    if fault is None and (not path.endswith(_ID) or variables_of(path) != ("id",) or path == _ID):
        fault = f"must end with {_ID}, and have no other variable"
    if fault is not None:
        findings.fault(place, fault, path)
        return ""
    return path.removesuffix(_ID)


def _routes(job: JobSchema, place: Path, findings: Findings) -> list[ObjectRoute]:
    """What may be asked of a job, first of all how far it is."""
    routes = [ObjectRoute("poll", "GET", "How far a job is: free.", job.poll)]
    places: list[Path] = [(*place, "poll")]
    for index, below in enumerate(job.reads):
        routes.append(ObjectRoute("read", "GET", "More about a job: free.", below, "nothing"))
        places.append((*place, "reads", index))
    if job.cancel is not None:
        method, below = job.cancel.method, job.cancel.below
        routes.append(ObjectRoute("cancel", method, "Cancel a job: free.", below, "nothing"))
        places.append((*place, "cancel", "below"))
    for at, (route, where) in enumerate(zip(routes, places, strict=True)):
        if (fault := _fault_below(route, routes[:at])) is not None:
            findings.fault(where, fault, route.below)
    return routes


def _fault_below(route: ObjectRoute, before: Sequence[ObjectRoute]) -> str | None:
    """Why a path below a job's own cannot be asked for, or None."""
    if route.below and not route.below.startswith("/"):
        return "must begin with '/': it follows the id"
    if variables_of(route.below):
        return "must have no variable"
    if any((one.method, one.below) == (route.method, route.below) for one in before):
        return "is what another key of the job asks for"
    return path_fault(f"/x{route.below}")
