"""A route says once what it serves, where, and for how much."""

from typing import get_args

import pytest

from proxy.config.schema import EndpointName
from proxy.endpoints.registry import ENDPOINTS
from tests.config.samples import CHAT_CARD, LoadText, Reported, route, text_of


def two_routes(*texts: str) -> str:
    return f"routes: [{', '.join(f'{{targets: [{{upstream: openai}}], {text}}}' for text in texts)}]"


UNPRICED = "is priced by no rate card, so every call of it would be refused; add one that matches"
BLANKS = "must not have blanks around it, nor characters that cannot be seen"
EMBED_CARD = "  embed: {match: [speech], rates: {input_tokens: {per_1m: '1'}}}"
NO_OUTPUT = "rate card 'embed' has no rate for output_tokens"
PATH_RULES = {
    "v1/search": "must begin with '/' and name something",
    "/": "must begin with '/' and name something",
    "//search": "must begin with '/' and name something",
    "/a//b": "must not hold '//'",
    "/a/../b": "must not have '.' or '..' for a segment",
    "/a/.": "must not have '.' or '..' for a segment",
    "/a?b=c": "must not hold a query or a fragment: those pass as they come",
    "/a%20b": "must not hold '%': an encoded path is never matched",
    "/a/*": "must be exact but for whole segments such as {id}; there are no other patterns",
    "/a/x{id}": "must be exact but for whole segments such as {id}; there are no other patterns",
    "/a/{id}/{id}": "has one variable twice",
    "/a b": "must hold only what a path may: no blanks, no accents",
    "/é": "must hold only what a path may: no blanks, no accents",
    "/a\\b": "must hold only what a path may: no blanks, no accents",
}


@pytest.mark.parametrize("path", PATH_RULES)
def test_a_path_is_one_exact_path_here_and_upstream(reported: Reported, path: str) -> None:
    text = f"routes: [{{path: '{path}', rate_card: search, targets: [{{upstream: openai, path: '{path}'}}]}}]"
    found = reported(text_of(routes=text))
    assert [fault.partition(": ")[0] for fault in found] == ["routes[0].path", "routes[0].targets[0].path"]
    assert all(fault.endswith(PATH_RULES[path]) for fault in found)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/admin",
            "/admin/v1/keys",
            "/v1/billing/balance",
            "/v1/models",
            "/v1/models/x",
            "/v1/chat/completions",
        ),
        *("/v1/completions", "/v1/embeddings", "/healthz", "/readyz", "/metrics", "/openapi.json"),
    ],
)
def test_a_path_does_not_collide_with_what_farebox_answers_itself(reported: Reported, path: str) -> None:
    found = reported(text_of(routes=route(f"path: {path}, rate_card: search")))
    assert found == [f"routes[0].path: '{path}' is answered by Farebox itself"]


@pytest.mark.parametrize(
    "path",
    [
        *("/{a}", "/{a}/v1", "/v1/{a}/completions", "/v1/chat/{a}", "/v1/{a}/{b}/{c}", "/admin/{a}"),
        *("/V1/Embeddings", "/v1/Models/{id}"),
    ],
)
def test_nor_does_a_template_or_another_case(reported: Reported, path: str) -> None:
    """No request that looks like one of these goes to a tool."""
    found = reported(text_of(routes=route(f"path: '{path}', rate_card: search")))
    assert found == [f"routes[0].path: '{path}' is answered by Farebox itself"]


def test_two_templates_serve_no_path_both(reported: Reported) -> None:
    both = two_routes("path: '/t/a/{x}', rate_card: search", "path: '/t/{y}/b', rate_card: search")
    message = "can be the same path as /t/a/{x}, which is served too"
    assert reported(text_of(routes=both)) == [f"routes[1].path: '/t/{{y}}/b' {message}"]


def test_a_target_has_only_the_variables_of_its_route(reported: Reported) -> None:
    text = "routes: [{path: '/a/{x}', rate_card: search, targets: [{upstream: openai, path: '/{y}/{x}'}]}]"
    message = "has y, which the route's path does not have"
    assert reported(text_of(routes=text)) == [f"routes[0].targets[0].path: '/{{y}}/{{x}}' {message}"]


@pytest.mark.parametrize(
    "path", ["/administration", "/v1/modelsearch", "/v1/chat", "/metrics.json", "/v1/search/"]
)
def test_a_path_may_begin_like_one_of_them(load_text: LoadText, path: str) -> None:
    assert load_text(text_of(routes=route(f"path: {path}, rate_card: search"))).routes.for_path("POST", path)


@pytest.mark.parametrize(
    ("routes", "faults"),
    [
        (route("name: a"), ["routes[0]: needs either `models` or `path`"]),
        (
            route("models: [gpt-4o], path: /a, rate_card: search"),
            ["routes[0]: needs either `models` or `path`, not both"],
        ),
        (
            "routes: [{models: [gpt-4o], targets: [{upstream: opnai}]}]",
            ["routes[0].targets[0].upstream: 'opnai' is not an upstream; did you mean 'openai'?"],
        ),
        (
            "routes: [{models: [gpt-4o], targets: [{upstream: openai}, {upstream: openai}]}]",
            ["routes[0].targets[1]: is the same as a target before it"],
        ),
        (
            "routes: [{models: [gpt-4o], targets: [{upstream: openai, path: /x}]}]",
            ["routes[0].targets[0].path: belongs to a route with a path; this one has models"],
        ),
        (
            "routes: [{path: /a, rate_card: search, targets: [{upstream: openai, model: x}]}]",
            ["routes[0].targets[0].model: belongs to a route of models; this one has a path"],
        ),
        (
            route("models: [gpt-4o], methods: [GET]"),
            ["routes[0].methods: belongs to a route with a path; this one has models"],
        ),
        (
            route("path: /a, rate_card: search, endpoints: [embeddings]"),
            ["routes[0].endpoints: belongs to a route of models; this one has a path"],
        ),
        (
            route("path: /a"),
            ["routes[0].rate_card: is missing; calls of a path are refused unless a card prices them"],
        ),
        (
            route("path: /a, rate_card: chat"),
            ["routes[0].rate_card: 'chat' has no rate for requests, so calls of a path have no price"],
        ),
        (
            route("path: /a, rate_card: serch"),
            ["routes[0].rate_card: 'serch' is not a rate card; did you mean 'search'?"],
        ),
        (
            route("models: [gpt-5, 'claude-*']"),
            [f"routes[0].models[0]: 'gpt-5' {UNPRICED}"],
        ),
        (
            route("models: [speech], endpoints: [chat.completions]"),
            [f"routes[0].models[0]: 'speech' has no price on chat.completions: {NO_OUTPUT}"],
        ),
        (
            route("models: ['*'], endpoints: [chat.completions, completions], rate_card: embed"),
            [f"routes[0].rate_card: 'embed' has no price on chat.completions: {NO_OUTPUT}"],
        ),
        (
            route("models: [' gpt-4o']"),
            [
                f"routes[0].models[0]: ' gpt-4o' {BLANKS}",
                f"routes[0].models[0]: ' gpt-4o' {UNPRICED}",
            ],
        ),
        (
            route("path: /a, rate_card: search, methods: [GET, POST, GET]"),
            ["routes[0].methods[2]: repeats routes[0].methods[0]: GET /a is served by that"],
        ),
        (
            two_routes("path: /a, rate_card: search", "path: /a, rate_card: search, methods: [PUT, POST]"),
            ["routes[1].methods[1]: repeats routes[0].methods[0]: POST /a is served by that"],
        ),
        (
            two_routes("models: ['gpt-4o*'], endpoints: [embeddings]", "models: [gpt-4o, 'gpt-4o*']"),
            ["routes[1].models[1]: repeats routes[0].models[0]: embeddings gpt-4o* is served by that"],
        ),
        (
            two_routes("name: a, models: ['gpt-4o*']", "name: a, models: [gpt-4o]"),
            ["routes[1].name: 'a' is the name of routes[0] already"],
        ),
    ],
)
def test_a_route_says_once_what_it_serves_where_and_for_how_much(
    reported: Reported, routes: str, faults: list[str]
) -> None:
    assert reported(text_of(routes=routes, rate_cards=CHAT_CARD + EMBED_CARD)) == faults


def test_a_model_is_served_on_the_endpoints_that_its_card_covers(load_text: LoadText) -> None:
    """An embedding model need not say that it cannot chat."""
    assert load_text(text_of(routes=route("models: [speech]"), rate_cards=CHAT_CARD + EMBED_CARD))


def test_routes_and_endpoints_agree_on_the_names_of_endpoints() -> None:
    assert set(get_args(EndpointName)) == {endpoint.name for endpoint in ENDPOINTS.values()}
