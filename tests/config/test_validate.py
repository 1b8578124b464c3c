"""A value of the wrong kind is reported with what would be right."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.faults import Findings, Lines
from proxy.config.schema import ConfigSchema
from proxy.config.source import ConfigError
from proxy.config.validate import validate
from tests.config.samples import NAME, Reported, text_of

PORT = "a whole number from 0 to 65535"
COUNT = "a whole number from 1 to 1000000000000"


AMOUNT = 'an amount in quotes: US dollars such as "0.15", or "<number> <unit name>"'


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("server: {prot: 1}", ["server.prot: is not a key of this mapping; did you mean 'port'?"]),
        ("admin: {zzz: 1}", ["admin.zzz: is not a key of this mapping; there is 'key'"]),
        ("sever: {}", ["sever: is not a key of this mapping; did you mean 'server'?"]),
        ("server: {port: 65536}", [f"server.port: 65536 is not {PORT}"]),
        ("server: {port: http}", [f"server.port: 'http' is not {PORT}"]),
        ("server: {port: 80.5}", [f"server.port: 80.5 is not {PORT}"]),
        ("server: {port: yes}", [f"server.port: true is not {PORT}"]),
        ("server: {port: }", [f"server.port: is empty; it must be {PORT}"]),
        ("server: {port: [1]}", [f"server.port: is a list, not {PORT}"]),
        ("server: {host: no}", ["server.host: false is not text that is not empty; write it in quotes"]),
        ("server: {host: '${HOST:-}'}", ["server.host: '' is not text that is not empty"]),
        ("server: {body_seconds: 0}", ["server.body_seconds: 0 is not a number above 0 and up to 86400"]),
        ("server: {payment_status: 400}", ["server.payment_status: 400 is not 402 or 429"]),
        ("server: 8080", ["server: is a number, not a mapping; {} takes every default"]),
        ("quickstart:", ["quickstart: is empty, not a mapping; {} takes every default"]),
        ("log: {calls: maybe}", ["log.calls: 'maybe' is not true or false"]),
        ("log: {level: warn}", ["log.level: 'warn' is not 'debug' or 'error' or 'info' or 'warning'"]),
        ("accounts: {limits: {day: 10}}", [f"accounts.limits.day: 10 is not {AMOUNT}; write it in quotes"]),
        (
            "accounts: {limits: {day: 1.50}}",
            [f"accounts.limits.day: 1.5 is not {AMOUNT}; write it in quotes"],
        ),
        (
            "accounts: {limits: {rpm: all}}",
            [f"accounts.limits.rpm: 'all' is not {COUNT} or 'none'"],
        ),
        ("unit: {name: 'a b'}", [f"unit.name: 'a b' is not {NAME}"]),
        ("unit: {per_usd: 0}", [f"unit.per_usd: 0 is not {COUNT}"]),
    ],
)
def test_a_value_of_the_wrong_kind_is_reported_with_the_right_one(
    reported: Reported, text: str, faults: list[str]
) -> None:
    assert reported(text) == faults


@pytest.mark.parametrize(
    ("sections", "faults"),
    [
        ({"routes": "routes: {}"}, ["routes: is a mapping, not a list"]),
        ({"routes": "routes: [x]"}, ["routes[0]: is text, not a mapping; {} takes every default"]),
        ({"routes": "routes: [{models: [gpt-4o]}]"}, ["routes[0].targets: is missing"]),
        (
            {"routes": "routes: [{models: gpt-4o, targets: []}]"},
            [
                "routes[0].models: is text, not a list",
                "routes[0].targets: is empty; it needs one item at least",
            ],
        ),
        (
            {"routes": "routes: [{models: [''], targets: [{}]}]"},
            [
                "routes[0].models[0]: '' is not text that is not empty",
                "routes[0].targets[0].upstream: is missing",
            ],
        ),
        ({"upstreams": "upstreams: []"}, ["upstreams: is a list, not a mapping"]),
        ({"upstreams": "upstreams: {' ': {base_url: x}}"}, [f"upstreams. : is not {NAME}"]),
        (
            {"rate_cards": "rate_cards: {a: {rates: {}}, b: {rates: {requests: {per_unit: 0.25}}}}"},
            [
                "rate_cards.a.rates: is empty; it needs one entry at least",
                f"rate_cards.b.rates.requests.per_unit: 0.25 is not {AMOUNT}; write it in quotes",
            ],
        ),
    ],
)
def test_every_part_of_a_list_or_mapping_is_looked_at(
    reported: Reported, sections: dict[str, str], faults: list[str]
) -> None:
    assert reported(text_of(**sections)) == faults


KEYS = [
    *(
        "server",
        "port",
        "host",
        "admin",
        "key",
        "unit",
        "name",
        "per_usd",
        "accounts",
        "limits",
        "day",
        "rpm",
    ),
    *(
        "upstreams",
        "a",
        "base_url",
        "credential",
        "value",
        "headers",
        "routes",
        "models",
        "targets",
        "upstream",
    ),
    *("methods", "rate_cards", "match", "rates", "requests", "per_unit", "quickstart"),
]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**6),
    st.floats(-1, 100),
    st.sampled_from(["", "a", "8", "none", "POST"]),
)
TREES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(ConfigSchema.__struct_fields__), TREES, max_size=3))
def test_a_tree_fits_when_the_decoder_takes_it(tree: dict[str, Any]) -> None:
    """The faults are found one by one beside the decoder, and must agree with it on what is a fault.

    They are stricter in one thing: a mapping or list that is left empty is not taken for one left out.
    """
    try:
        validate(tree, Findings(Lines("file", {})))
    except ConfigError as error:
        empty = [fault for fault in error.faults if fault.message.startswith("is empty, not")]
        if len(empty) < len(error.faults):
            with pytest.raises(msgspec.ValidationError):
                msgspec.convert(tree, ConfigSchema, strict=False)
    else:
        msgspec.convert(tree, ConfigSchema, strict=False)
