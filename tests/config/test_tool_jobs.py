"""What a file says of the jobs of a tool: every place is sound, and no other route is in their way."""

import pytest

from proxy.endpoints.objects import ObjectRoute
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import JobPlan
from tests.config.samples import CHAT_CARD, LoadText, Reported, text_of

CARDS = CHAT_CARD + "  tool: {rates: {requests: {per_unit: '0.01'}, credits: {per_unit: '0.002'}}}\n"
MEASURES = "credits: {answer: /used, most: '5'}"
JOB = "id: {answer: /id}, path: '/a/{id}', status: /status, complete: [done]"
AT = "routes[0]"


def text(job: str = JOB, *, route: str = "name: crawl", measures: str = MEASURES, more: str = "") -> str:
    """A file with one route of jobs, and `more` routes after it."""
    rest = f"path: /a, rate_card: tool, measures: {{{measures}}}, job: {{{job}}}"
    routes = f"routes: [{{targets: [{{upstream: openai}}], {route}, {rest}}}{more}]"
    return text_of(routes=routes, rate_cards=CARDS)


def with_job(**keys: str) -> str:
    """A job with some keys in place of its own or beside them."""
    own = {"id": "{answer: /id}", "path": "'/a/{id}'", "status": "/status", "complete": "[done]"}
    return ", ".join(f"{key}: {value}" for key, value in (own | keys).items())


def test_a_job_is_what_the_file_says(load_text: LoadText) -> None:
    job = with_job(
        id="{answer_header: Operation-Location}",
        complete="[Done, CANCELLED]",
        failed="[Failed]",
        target_path="'/v2/jobs/{id}'",
        poll="/status",
        reads="[/result]",
        cancel="{method: POST, below: /cancel}",
    )
    routes = load_text(text(job)).routes
    (route,) = routes.tools
    assert route.plan.job == JobPlan(
        Source("answer_header", "Operation-Location"),
        ("status",),
        frozenset({"done", "cancelled"}),
        frozenset({"failed"}),
    )
    kind = route.makes
    assert kind is not None
    assert routes.kinds == {"crawl job": kind}
    assert (kind.path, kind.upstream_path, kind.tells_usage) == ("/a", "/v2/jobs", True)
    assert [(one.method, one.below, one.tells) for one in kind.routes] == [
        ("GET", "/status", "object"),
        ("GET", "/result", "nothing"),
        ("POST", "/cancel", "nothing"),
    ]
    assert kind.upstream_path_of("x", kind.routes[0]) == "/v2/jobs/x/status"


def test_a_route_without_a_job_makes_nothing(load_text: LoadText) -> None:
    found = load_text(text_of())
    assert ([route.makes for route in found.routes.all], found.routes.kinds) == ([None], {})


def test_what_a_request_tells_needs_no_figure_at_the_end(load_text: LoadText) -> None:
    (route,) = load_text(text(measures="credits: {request: /limit, most: '5'}")).routes.tools
    assert route.makes is not None
    assert (route.makes.tells_usage, route.makes.routes) == (
        False,
        (ObjectRoute("poll", "GET", "How far a job is: free."),),
    )


@pytest.mark.parametrize(
    ("job", "fault"),
    [
        (with_job(id="{}"), "job.id: needs exactly one of answer, answer_header"),
        (with_job(id="{answer: /a, answer_header: b}"), "job.id: needs exactly one of answer, answer_header"),
        (with_job(id="{answer: id}"), "job.id.answer: 'id' must be a JSON pointer"),
        (with_job(id="{answer_header: 'a b'}"), "job.id.answer_header: 'a b' is not a header name"),
        (with_job(id="{answer_header: Location}"), "job.id.answer_header: 'Location' is a header that does"),
        (with_job(status="status"), "job.status: 'status' must be a JSON pointer"),
        (with_job(status="/a~x"), "job.status: '/a~x' has a '~' that is neither ~0 nor ~1"),
        (with_job(complete="[]"), "job.complete"),
        (with_job(failed="[x, DONE]"), "job.failed[1]: 'DONE' is a status of `complete` too"),
        (with_job(path="/a"), "job.path: '/a' must end with /{id}, and have no other variable"),
        (with_job(path="'/{id}'"), "job.path: '/{id}' must end with /{id}, and have no other variable"),
        (with_job(path="'/a/{job}'"), "job.path: '/a/{job}' must end with /{id}"),
        (with_job(path="'/{x}/{id}'"), "job.path: '/{x}/{id}' must end with /{id}"),
        (with_job(path="'/v1/videos/{id}'"), "job.path: '/v1/videos/{id}' is answered by Farebox itself"),
        (with_job(target_path="/x"), "job.target_path: '/x' must end with /{id}"),
        (with_job(target_path="'x/{id}'"), "job.target_path: 'x/{id}' must begin with '/'"),
        (with_job(poll="status"), "job.poll: 'status' must begin with '/': it follows the id"),
        (with_job(reads="['/{x}']"), "job.reads[0]: '/{x}' must have no variable"),
        (with_job(reads="[/../x]"), "job.reads[0]: '/../x' must not have '.' or '..' for a segment"),
        (with_job(reads="[/a, /a]"), "job.reads[1]: '/a' is what another key of the job asks for"),
        (with_job(cancel="{method: GET}"), "job.cancel.method"),
        (with_job(cancel="{method: POST, below: cancel}"), "job.cancel.below: 'cancel' must begin with '/'"),
        (with_job(cancel="{}"), "job.cancel.method: is missing"),
    ],
)
def test_a_mistake_is_told_with_its_place(reported: Reported, job: str, fault: str) -> None:
    faults = reported(text(job))
    assert [found for found in faults if found.startswith(f"{AT}.{fault}")], faults


@pytest.mark.parametrize(
    ("route", "measures", "fault"),
    [
        ("query_fields: [a]", MEASURES, "name: is missing; the jobs of a route are kept by its name"),
        ("name: a, methods: [GET]", MEASURES, "methods: must be POST alone where calls begin jobs"),
        ("name: a, charged_statuses: [404]", MEASURES, "charged_statuses: cannot be where calls begin jobs"),
        (
            "name: a",
            "credits: {answer_header: x-used, most: '5'}",
            "measures.credits.answer_header: is not read of a job: only the body of its last answer is",
        ),
        *(
            (
                "name: a",
                f"credits: {{product: [{{answer: /n, most: '5'}}, {part}], most: '5'}}",
                "measures.credits: must be told by the request alone, or by the body of the last",
            )
            for part in ("{request: /p}", "{answer_header: x-used, most: '5'}")
        ),
        ("name: a", "pages: {answer: /p, most: '5'}", "measures.pages: has no rate on the rate card 'tool'"),
    ],
)
def test_what_a_route_of_jobs_cannot_have_is_told(
    reported: Reported, route: str, measures: str, fault: str
) -> None:
    faults = reported(text(route=route, measures=measures))
    assert [found for found in faults if found.startswith(f"{AT}.{fault}")], faults


@pytest.mark.parametrize(
    "other",
    ["path: '/a/{x}'", "path: /a/errors", "path: '/{x}/{y}', methods: [DELETE]", "path: '/A/{x}'"],
)
def test_no_other_route_is_in_the_way_of_a_job(reported: Reported, other: str) -> None:
    """Through it, an account could ask for another's job."""
    more = f", {{targets: [{{upstream: openai}}], rate_card: search, {other}}}"
    met = "routes[0].job.path: '/a/{id}' can be the same path as /"
    assert [fault for fault in reported(text(more=more)) if fault.startswith(met)]


def test_no_two_routes_have_their_jobs_at_one_path(reported: Reported) -> None:
    more = f", {{name: b, targets: [{{upstream: openai}}], rate_card: search, path: /b, job: {{{JOB}}}}}"
    (fault,) = reported(text(more=more))
    assert fault.startswith("routes[1].job.path: '/a/{id}' can be the same path as /a/{id}")


def test_a_route_of_models_has_no_job(reported: Reported) -> None:
    routes = f"routes: [{{targets: [{{upstream: openai}}], models: [gpt-4o], job: {{{JOB}}}}}]"
    assert reported(text_of(routes=routes)) == [
        "routes[0].job: belongs to a route with a path; this one has models"
    ]
