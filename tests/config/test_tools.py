"""A tool's measures each have one place, a meter that is priced, and a bound; what is priced is measured."""

from fractions import Fraction
from pathlib import Path

import pytest

from proxy.config.load import check
from proxy.config.tools import MEASURED, NEVER_CHARGED
from proxy.endpoints.formulas import Formula, Part
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Failure, Measure, Multiple, Parameter
from proxy.metering.usage import METERS
from tests.config.samples import CHAT_CARD, LoadText, Reported, route, text_of

CARD = CHAT_CARD + "  tool: {rates: {requests: {per_unit: '0.01'}, credits: {per_unit: '0.002'}}}\n"
CARD += "  pages: {rates: {pages: {per_unit: '0.002'}}}\n"
PLACE = "routes[0].measures.credits"
NO_POINTER = "must be a JSON pointer that begins with '/', such as /usage/credits"
ONE_OF = "needs exactly one of answer, answer_header, request, request_header, query"


def tool(measures: str, card: str = "tool") -> str:
    return route(f"path: /a, rate_card: {card}, measures: {{{measures}}}")


def test_a_plan_is_what_the_file_says(load_text: LoadText) -> None:
    text = (
        "credits: {answer: /usage/credits, most: '2.5', otherwise: '0.000001', "
        "for_each: {request: /limit, otherwise: '10'}}"
    )
    found = load_text(text_of(routes=tool(text), rate_cards=CARD)).routes.for_path("POST", "/a")
    assert found is not None
    assert found.plan.measures == (
        Measure(
            "credits",
            Source("answer", "/usage/credits", ("usage", "credits")),
            2_500_000,
            1,
            Multiple(Source("request", "/limit", ("limit",)), 10),
        ),
    )


def test_a_formula_is_what_the_file_says(load_text: LoadText) -> None:
    text = (
        "credits: {product: [{request: /docs, chunk_characters: 9}, {answer: /n, most: '2.5'}], "
        "per: 100, most: '7'}"
    )
    found = load_text(text_of(routes=tool(text), rate_cards=CARD)).routes.for_path("POST", "/a")
    assert found is not None
    documents = Part(Source("request", "/docs", ("docs",)), chunk_characters=9)
    told = Part(Source("answer", "/n", ("n",)), Fraction("2.5"))
    formula = Formula("product", (documents, told), 100)
    assert found.plan.measures == (Measure("credits", documents.source, 7_000_000, formula=formula),)


@pytest.mark.parametrize("meter", MEASURED)
def test_every_meter_of_its_own_can_be_measured(load_text: LoadText, meter: str) -> None:
    """Whatever a card can price but parts of others, the call itself, and what a model's request turns on."""
    cards = CHAT_CARD + f"  tool: {{rates: {{{meter}: {{per_unit: '0.01'}}}}, max_output_tokens: 1}}"
    routes = tool(f"{meter}: {{answer_header: X-Used, most: '5'}}")
    found = load_text(text_of(routes=routes, rate_cards=cards)).routes.for_path("POST", "/a")
    assert found is not None
    assert found.plan.measures[0].most == 5 * METERS[meter].scale


@pytest.mark.parametrize(
    ("measures", "faults"),
    [
        ("credits: {most: '1'}", [f"{PLACE}: {ONE_OF}"]),
        ("credits: {most: '1', answer: /a, query: b}", [f"{PLACE}: {ONE_OF}"]),
        ("credits: {answer: /a}", [f"{PLACE}.most: is missing"]),
        (
            "credits: {answer: a, most: '1'}",
            [f"{PLACE}.answer: 'a' {NO_POINTER}"],
        ),
        (
            "credits: {request: /a~x, most: '1'}",
            [f"{PLACE}.request: '/a~x' has a '~' that is neither ~0 nor ~1"],
        ),
        (
            "credits: {answer_header: 'a b', most: '1'}",
            [f"{PLACE}.answer_header: 'a b' is not a header name"],
        ),
        *(
            (
                f"credits: {{request_header: {name}, most: '1'}}",
                [f"{PLACE}.request_header: '{name}' is a header that does not go up as it is"],
            )
            for name in ("Authorization", "x-forwarded-for", "Connection", "x_limit")
        ),
        (
            "credits: {answer: /a, most: '1', otherwise: '2'}",
            [f"{PLACE}.otherwise: '2' is more than `most`"],
        ),
        (
            "credits: {answer: /a, most: '100000001'}",
            [f"{PLACE}.most: '100000001' is more than any call may use"],
        ),
        (
            "credits: {answer: /a, most: '1', for_each: {otherwise: '1'}}",
            [f"{PLACE}.for_each: needs exactly one of request, request_header, query"],
        ),
        (
            "credits: {answer: /a, product: [{request: /b}], most: '1'}",
            [f"{PLACE}: {ONE_OF}, product, sum"],
        ),
        (
            "credits: {sum: [{request: /a}], product: [{request: /b}], most: '1'}",
            [f"{PLACE}: {ONE_OF}, product, sum"],
        ),
        (
            "credits: {product: [{request: /b, query: c}], most: '1'}",
            [f"{PLACE}.product[0]: {ONE_OF}"],
        ),
        (
            "credits: {sum: [{request: /b}, {answer: /c}], most: '1'}",
            [f"{PLACE}.sum[1].most: is missing: so much is held of what only the answer tells"],
        ),
        (
            "credits: {sum: [{answer: /c, most: '2', otherwise: '3'}], most: '1', otherwise: '1'}",
            [
                f"{PLACE}.otherwise: cannot stand beside a `product` or a `sum`",
                f"{PLACE}.sum[0].otherwise: '3' is more than `most`",
            ],
        ),
        (
            "credits: {sum: [{query: c, chunk_characters: 9}], most: '1'}",
            [f"{PLACE}.sum[0].chunk_characters: counts a text of the body, at a place in `request`"],
        ),
        (
            "credits: {answer: /a, per: 9, most: '1'}",
            [f"{PLACE}.per: '9' divides a `product` or a `sum`, and there is none"],
        ),
        (
            "credits: {answer: /a, most: '1'}, credit: {answer: /a, most: '1'}",
            ["routes[0].measures.credit: is no meter of a tool; did you mean 'credits'?"],
        ),
        (
            "credits: {answer: /a, most: '1'}, pages: {answer: /a, most: '1'}",
            ["routes[0].measures.pages: has no rate on the rate card 'tool'"],
        ),
    ],
)
def test_a_measure_has_a_place_a_rate_and_a_bound(
    reported: Reported, measures: str, faults: list[str]
) -> None:
    assert reported(text_of(routes=tool(measures), rate_cards=CARD)) == faults


def test_what_a_card_prices_is_measured(reported: Reported) -> None:
    """A rate that nothing is measured for would look as if it were charged."""
    cards = (
        CARD + "  both: {rates: {credits: {per_unit: '1'}, pages: {per_unit: '1'}, urls: {per_unit: '1'}}}"
    )
    text = text_of(routes=tool("credits: {answer: /a, most: '1'}", "both"), rate_cards=cards)
    message = "'both' has a rate for pages, urls, which the route's `measures` do not have"
    assert reported(text) == [f"routes[0].rate_card: {message}"]


@pytest.mark.parametrize(
    "key", ["measures: {credits: {answer: /a, most: '1'}}", "parameters: {a: {query: b}}"]
)
def test_a_route_of_models_has_none_of_a_tools_keys(reported: Reported, key: str) -> None:
    found = reported(text_of(routes=route(f"models: [gpt-4o], {key}")))
    name = key.partition(":")[0]
    assert found == [f"routes[0].{name}: belongs to a route with a path; this one has models"]


CASES = (
    "  cases: {rates: {requests: {per_unit: '1'}}, cases: [{when: {stealth: 'TRUE'}, "
    "rates: {requests: {per_unit: '5'}}}]}\n"
)


def test_what_a_case_asks_for_is_a_parameter_of_the_route(load_text: LoadText) -> None:
    text = "path: /a, rate_card: cases, parameters: {stealth: {query: stealth, otherwise: 'no'}}"
    settings = load_text(text_of(routes=route(text), rate_cards=CHAT_CARD + CASES))
    found = settings.routes.for_path("POST", "/a")
    assert found is not None
    assert found.plan.parameters == (Parameter("stealth", Source("query", "stealth"), "no"),)


@pytest.mark.parametrize(("name", "warned"), [("stealth", False), ("stealt", True)])
def test_a_case_that_asks_for_no_parameter_of_the_route_is_a_warning(
    tmp_path: Path, name: str, warned: bool
) -> None:
    path = tmp_path / "farebox.yaml"
    text = f"path: /a, rate_card: cases, parameters: {{{name}: {{query: stealth}}}}"
    path.write_text(text_of(routes=route(text), rate_cards=CHAT_CARD + CASES), "utf-8")
    said = " ".join(warning.message for warning in check(path, {})[1])
    assert ("did you mean 'stealt'?" in said) == warned


def test_a_parameter_has_one_place(reported: Reported) -> None:
    text = "path: /a, rate_card: search, parameters: {a: {otherwise: 'x'}, b: {request: x}}"
    assert reported(text_of(routes=route(text))) == [
        "routes[0].parameters.a: needs exactly one of request, request_header, query",
        f"routes[0].parameters.b.request: 'x' {NO_POINTER}",
    ]


def test_a_route_says_which_answers_are_charged_and_which_are_free(load_text: LoadText) -> None:
    text = "path: /a, rate_card: search, charged_statuses: [404, 410], free_when: {answer: /ok, equals: 'no'}"
    found = load_text(text_of(routes=route(text))).routes.for_path("POST", "/a")
    assert found is not None
    assert found.plan.charged_statuses == {404, 410}
    assert found.plan.failure == Failure(Source("answer", "/ok", ("ok",)), "no")


@pytest.mark.parametrize("status", sorted(NEVER_CHARGED))
def test_what_is_about_fareboxs_own_account_is_never_charged(reported: Reported, status: int) -> None:
    text = f"path: /a, rate_card: search, charged_statuses: [404, {status}]"
    message = "is about Farebox's own credential, and never charged"
    assert reported(text_of(routes=route(text))) == [f"routes[0].charged_statuses[1]: '{status}' {message}"]


@pytest.mark.parametrize(
    ("own", "source", "name"),
    [
        ("credential: {value: secret-value, query: count}", "query: Count", "Count"),
        ("credential: {value: secret-value, header: X-Count}", "request_header: x-count", "x-count"),
        ("headers: {X-Count: '1'}", "request_header: x-count", "x-count"),
    ],
)
def test_what_the_upstream_sets_itself_tells_no_figure(
    reported: Reported, own: str, source: str, name: str
) -> None:
    """The client's value would be charged, and another one carried out."""
    text = f"path: /a, rate_card: pages, measures: {{pages: {{{source}, most: '5'}}}}"
    upstreams = f"upstreams: {{openai: {{base_url: 'https://host', {own}}}}}"
    message = f"sets {name} itself, which the route reads of the request"
    assert reported(text_of(routes=route(text), rate_cards=CARD, upstreams=upstreams)) == [
        f"routes[0].targets[0].upstream: 'openai' {message}"
    ]
