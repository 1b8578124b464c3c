"""What a configuration may say but hardly means is a warning."""

from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.faults import Findings
from proxy.config.load import check, load
from proxy.config.price_advice import advise_on_prices
from proxy.config.source import load_tree
from proxy.config.validate import validate
from proxy.endpoints.unserved import reason_against
from proxy.globs import may_overlap
from tests.config.samples import card, route, text_of, upstream

PER_CALL = card("rates: {requests: {per_unit: '1'}}")
UNENCRYPTED = "sends its credential unencrypted; use https:// unless the network is yours alone"
OPENED = "opens the quickstart to other machines, with an admin key that is easy to guess"
UNPRICED = "can match no model that has a rate card; its calls are refused"
NOTHING_PRICED = "rate_cards.search: prices nothing that a route serves"

INPUT = card("rates: {input_tokens: {per_1m: '1'}}")
OUTPUT_RATES = "rates: {input_tokens: {per_1m: '1'}, output_tokens: {per_1m: '1'}}, max_output_tokens: 9"
NO_RATES = (
    "has no price for any of the models, so its calls are refused; it needs input_tokens and output_tokens"
)
FREE_ROUTE = (
    "routes:\n- {models: ['omni-moderation-*', text-moderation-stable], targets: [{upstream: openai}]}"
)
NO_PARAMETER = "is a parameter of no endpoint that it prices"


@pytest.mark.parametrize(
    ("sections", "warnings"),
    [
        (
            {"routes": "", "rate_cards": ""},
            [
                "routes: has no route, so every call is answered 404",
                "upstreams.openai: is the target of no route",
            ],
        ),
        ({}, [NOTHING_PRICED]),
        (
            {"routes": route("models: ['gpt-4*', 'claude-*']")},
            [
                NOTHING_PRICED,
                f"routes[0].models[1]: 'claude-*' {UNPRICED}",
            ],
        ),
        (
            {"rate_cards": PER_CALL, "upstreams": upstream("base_url: 'http://10.0.0.1', headers: {X-K: a}")},
            [
                f"upstreams.openai.base_url: 'http://10.0.0.1' {UNENCRYPTED}",
            ],
        ),
        ({"rate_cards": PER_CALL, "upstreams": upstream("base_url: 'http://[::1]', headers: {X-K: a}")}, []),
        ({"rate_cards": PER_CALL, "upstreams": upstream("base_url: 'http://10.0.0.1'")}, []),
        (
            {"rate_cards": PER_CALL, "more": "quickstart: {}\nserver: {host: 0.0.0.0}"},
            [
                f"server.host: '0.0.0.0' {OPENED}",
            ],
        ),
        (
            {
                "rate_cards": card("rates: {requests: {per_unit: '0'}, images: {per_unit: '1'}}"),
                "routes": route("path: /a, rate_card: chat"),
            },
            ["routes[0].rate_card: prices images too, which a path's calls do not count"],
        ),
        (
            {
                "rate_cards": card(
                    "rates: {requests: {per_unit: '0'}}, "
                    "cases: [{when: {size: a}, rates: {images: {per_unit: '1'}}}]"
                ),
                "routes": route("path: /a, rate_card: chat"),
            },
            [
                f"rate_cards.chat.cases[0].when.size: {NO_PARAMETER}; there is none",
                "routes[0].rate_card: prices images too, which a path's calls do not count",
            ],
        ),
        (
            {"rate_cards": INPUT, "routes": route("models: [gpt-4o], endpoints: [embeddings, completions]")},
            [f"routes[0].endpoints[1]: 'completions' {NO_RATES}"],
        ),
        (
            {"rate_cards": INPUT, "routes": route("models: ['gpt-4o-*'], endpoints: [completions]")},
            [f"routes[0].endpoints[0]: 'completions' {NO_RATES}"],
        ),
        (
            {"rate_cards": PER_CALL, "routes": route("path: /v1/files, rate_card: chat")},
            [f"routes[0].path: '/v1/files' should not be served: {reason_against('/v1/files')}"],
        ),
        ({"rate_cards": INPUT}, []),
        (
            {
                "rate_cards": INPUT,
                "routes": f"{FREE_ROUTE}\n- {{models: [gpt-4o], targets: [{{upstream: openai}}]}}",
            },
            [],
        ),
        (
            {
                "rate_cards": f"{INPUT.removesuffix('}')}, mini: {{match: ['*-mini'], {OUTPUT_RATES}}}}}",
                "routes": route("models: ['gpt-4o-*'], endpoints: [completions]"),
            },
            [],
        ),
    ],
)
def test_what_is_hardly_meant_is_a_warning(
    tmp_path: Path, sections: dict[str, str], warnings: list[str]
) -> None:
    path = tmp_path / "farebox.yaml"
    path.write_text(text_of(**sections), "utf-8")
    _, found = check(path, {})
    assert sorted(str(warning).split(": ", 1)[1] for warning in found) == warnings


def test_a_name_that_earlier_routes_take_on_every_endpoint_is_never_reached(tmp_path: Path) -> None:
    routes = """
routes:
- {models: ['gpt-*'], endpoints: [embeddings], targets: [{upstream: openai}]}
- {models: ['*'], endpoints: [completions], targets: [{upstream: openai}]}
- {models: [gpt-4o], endpoints: [completions, embeddings], targets: [{upstream: openai}]}
- {models: [gpt-4o-mini], endpoints: [completions, chat.completions], targets: [{upstream: openai}]}
"""
    path = tmp_path / "farebox.yaml"
    path.write_text(text_of(routes=routes, rate_cards=PER_CALL), "utf-8")
    (found,) = check(path, {})[1]
    assert found.path == "routes[2].models[0]"
    assert found.message == "is never reached: routes[1] and routes[0] come first"


GLOBS = st.text("ab*?", max_size=6)


@given(GLOBS, GLOBS)
def test_globs_overlap_when_a_name_matches_both(one: str, other: str) -> None:
    longest = 6
    names = ("".join(letters) for length in range(longest + 1) for letters in product("ab", repeat=length))
    meet = any(fnmatchcase(name, one) and fnmatchcase(name, other) for name in names)
    assert may_overlap(one, other) == may_overlap(other, one)
    if meet:
        assert may_overlap(one, other)
    elif max(len(one), len(other)) <= longest // 2:
        assert not may_overlap(one, other)


def test_a_set_in_brackets_may_be_any_character() -> None:
    assert may_overlap("gpt-[34]o", "gpt-?o")
    assert may_overlap("[]]x", "?x")
    assert not may_overlap("gpt-[34]", "gpt-4o")


CASES = """
rate_cards:
  chat:
    match: [gpt-4o]
    rates: {input_tokens: {per_1m: '1'}}
    cases:
    - {when: {size: large}, rates: {input_tokens: {per_1m: '2'}}}
    - {when: {size: LARGE, quality: high}, rates: {input_tokens: {per_1m: '3'}}}
    - {when: {qualty: high}, rates: {input_tokens: {per_1m: '3'}}}
"""


def test_a_case_that_no_call_can_have_is_a_warning(tmp_path: Path) -> None:
    """An endpoint's parameters are those of the registry; a case after a wider one is never reached."""
    path = tmp_path / "farebox.yaml"
    path.write_text(text_of(rate_cards=CASES), "utf-8")
    tree, lines = load_tree(path, {})
    findings = Findings(lines)
    schema = validate(tree, findings)
    advise_on_prices(schema, load(path, {}).book, findings, {"embeddings": ("size", "quality")})
    assert [str(warning).split(": ", 1)[1] for warning in findings.warnings] == [
        "rate_cards.chat.cases[1]: is never reached: cases[0] comes first",
        f"rate_cards.chat.cases[2].when.qualty: {NO_PARAMETER}; did you mean 'quality'?",
    ]
