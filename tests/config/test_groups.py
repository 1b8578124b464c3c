"""Groups in a configuration: limits over the defaults, and the rate cards that are theirs alone."""

from pathlib import Path

import pytest

from proxy.config.load import check
from proxy.ledger.rows import NO_LIMIT, Limits
from tests.config.samples import LoadText, Reported, route, text_of

MULTIPLIER = 'a decimal number in quotes such as "0.5" or "2", below 10000'
UNPRICED = "is priced by no rate card, so every call of it would be refused; add one that matches"
IN_RATES = "rates: {input_tokens: {per_1m: '1'}}"
GROUPS = """
accounts: {limits: {day: '10', rpm: 60}}
groups:
  vip: {limits: {day: '100', total: none}, models: [gpt-4o*, chat], multiplier: '0.8'}
  beta: {}
"""


def cards(*texts: str) -> str:
    return "rate_cards:\n" + "\n".join(f"  c{index}: {{{text}}}" for index, text in enumerate(texts))


def test_a_group_has_its_limits_over_those_of_every_account(load_text: LoadText) -> None:
    """One that says nothing is as none; so is one that there is not."""
    groups = load_text(text_of(groups=GROUPS)).groups
    vip, defaults = groups.of("vip"), Limits(day_nano=10 * 10**9, rpm=60)
    assert (vip.name, vip.multiplier, vip.models) == ("vip", "0.8", ("gpt-4o*", "chat"))
    assert vip.limits == Limits(day_nano=100 * 10**9, total_nano=NO_LIMIT, rpm=60)
    assert groups.of("beta").limits == groups.of("").limits == groups.of("gone").limits == defaults
    assert [groups.of(name).name for name in ("beta", "gone", "")] == ["beta", "", ""]


def test_prices_are_multiplied_by_the_multiplier_of_the_group(load_text: LoadText) -> None:
    book = load_text(text_of(groups=GROUPS)).book
    found = [book.card_of(None, "gpt-4o", "chat.completions", group) for group in ("vip", "beta", "gone")]
    assert [card and card.id for card in found] == ["chat+group=vip", "chat", "chat"]


def test_cards_may_share_a_model_where_the_first_is_not_for_all_calls(load_text: LoadText) -> None:
    """A card for a group, then one for an endpoint, then the one for everybody else."""
    text = cards(
        f"match: [gpt-4o], groups: [vip], {IN_RATES}",
        f"match: [gpt-4o], endpoints: [embeddings], {IN_RATES}",
        f"match: [gpt-4o], {IN_RATES}, like: c0",
    )
    routes = (
        "routes: [{models: [gpt-4o], endpoints: [embeddings, moderations], targets: [{upstream: openai}]}]"
    )
    book = load_text(text_of(groups=GROUPS, rate_cards=text, routes=routes)).book
    asked = [("embeddings", "vip"), ("embeddings", ""), ("moderations", "vip"), ("moderations", "beta")]
    found = [book.card_of(None, "gpt-4o", *each) for each in asked]
    assert [card and card.id for card in found] == ["c0+group=vip", "c1", "c0+group=vip", "c2"]


def test_a_model_may_be_priced_for_one_group_alone(load_text: LoadText) -> None:
    """All others' calls of it are refused, and that is meant."""
    text = cards(f"match: [gpt-4o], groups: [beta], {IN_RATES}")
    routes = "routes: [{models: [gpt-4o], endpoints: [embeddings], targets: [{upstream: openai}]}]"
    book = load_text(text_of(groups=GROUPS, rate_cards=text, routes=routes)).book
    found = [book.card_of(None, "gpt-4o", "embeddings", group) for group in ("", "beta")]
    assert [card and card.id for card in found] == [None, "c0"]


ALREADY = "is matched by 'c0' already"


@pytest.mark.parametrize(
    ("first", "second", "faults"),
    [
        ("", "groups: [vip],", [ALREADY]),
        ("groups: [vip, beta],", "groups: [vip],", [ALREADY]),
        ("groups: [vip], endpoints: [embeddings],", "groups: [vip],", []),
        ("endpoints: [embeddings, moderations],", "groups: [vip], endpoints: [embeddings],", [ALREADY]),
        ("groups: [vip],", "groups: [vip, beta],", []),
    ],
)
def test_a_card_that_an_earlier_one_leaves_no_call_is_a_fault(
    load_text: LoadText, reported: Reported, first: str, second: str, faults: list[str]
) -> None:
    texts = (f"match: [gpt-4o], {first} {IN_RATES}", f"match: [gpt-4o], {second} {IN_RATES}")
    routes = "routes: [{models: [gpt-4o], endpoints: [embeddings], targets: [{upstream: openai}]}]"
    text = text_of(groups=GROUPS, rate_cards=cards(*texts), routes=routes)
    if faults:
        assert reported(text) == [f"rate_cards.c1.match[0]: 'gpt-4o' {fault}" for fault in faults]
    else:
        load_text(text)


@pytest.mark.parametrize(
    ("sections", "faults"),
    [
        (
            {"groups": "groups: {vip: {multiplier: 0.8}}"},
            [f"groups.vip.multiplier: 0.8 is not {MULTIPLIER}"],
        ),
        (
            {"groups": "groups: {vip: {limits: {day: '-1'}}}"},
            ["groups.vip.limits.day: '-1' must not be negative"],
        ),
        (
            {"rate_cards": cards("match: [gpt-4o], groups: [vpi], rates: {requests: {per_unit: '1'}}")},
            ["rate_cards.c0.groups[0]: 'vpi' is not a group; did you mean 'vip'?"],
        ),
        (
            {
                "rate_cards": cards("match: [gpt-4o], rates: {requests: {per_unit: '3000000'}}"),
                "groups": "groups: {vip: {multiplier: '9999'}}",
            },
            ["groups.vip.multiplier: '9999' makes a rate larger than the largest amount there is"],
        ),
        (
            {
                "rate_cards": cards("endpoints: [embeddings], rates: {requests: {per_unit: '1'}}"),
                "routes": "routes: [{path: /v1/search, rate_card: c0, targets: [{upstream: openai}]}]",
            },
            ["routes[0].rate_card: 'c0' prices calls on embeddings alone, which the route does not serve"],
        ),
        (
            {
                "rate_cards": cards(f"endpoints: [chat.completions], match: [gpt-4o], {IN_RATES}"),
                "routes": route("models: [gpt-4o], endpoints: [embeddings]"),
            },
            [f"routes[0].models[0]: 'gpt-4o' {UNPRICED}"],
        ),
    ],
)
def test_what_cannot_be_meant_is_a_fault(
    reported: Reported, sections: dict[str, str], faults: list[str]
) -> None:
    assert reported(text_of(**{"groups": GROUPS, **sections})) == faults


def test_what_is_hardly_meant_is_a_warning(tmp_path: Path) -> None:
    """A glob of a group that nothing served matches, and a card for endpoints that its models are not on."""
    text = cards(
        f"match: ['gpt-*'], {IN_RATES}",
        f"match: [gpt-5], endpoints: [moderations], {IN_RATES}",
        "rates: {requests: {per_unit: '1'}}",
    )
    routes = (
        "routes: [{models: ['gpt-*'], endpoints: [embeddings], targets: [{upstream: openai}]},"
        " {name: finder, path: /v1/find, rate_card: c2, targets: [{upstream: openai}]}]"
    )
    groups = "groups: {vip: {models: ['gpt-4*', 'claude-*', 'find*']}}"
    path = tmp_path / "farebox.yaml"
    path.write_text(text_of(groups=groups, rate_cards=text, routes=routes), "utf-8")
    _, warnings = check(path, {})
    assert sorted(str(each).partition(f":{each.line}: ")[2] for each in warnings) == [
        "groups.vip.models[1]: 'claude-*' matches nothing that a route serves",
        "rate_cards.c1: prices nothing that a route serves",
    ]
