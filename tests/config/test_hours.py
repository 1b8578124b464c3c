"""Prices by the hour: each moment has one card, and whatever leaves a moment with two is a fault."""

from datetime import UTC, datetime

import pytest

from proxy.pricing.charge import price
from tests.config.samples import LoadText, Reported, card, text_of

HOURS = "rate_cards.chat.hours"
RATES = "rates: {input_tokens: {per_1m: '8'}}"
TIME = 'a time of the day in quotes such as "08:30", from "00:00" to "24:00"'
IN_QUOTES = "write a plain decimal number, or text in quotes"
WHOLE_DAY = "must be before 24:00 and differ from `to`; a whole day has neither `from` nor `to`"
MEETS = "meets 'a': both hold at some time of what begins on"
ONE_PRICE = "a call has one price"


def hours(text: str, more: str = "") -> str:
    return card(f"{RATES}{more}, hours: {{{text}}}")


def windows(text: str) -> str:
    return hours(f"windows: {{{text}}}")


@pytest.mark.parametrize(
    ("cards", "faults"),
    [
        (
            windows("night: {from: '22:00', to: '6:00', multiplier: '0.5'}"),
            [f"{HOURS}.windows.night.to: '6:00' is not {TIME}"],
        ),
        (
            windows("night: {from: 22:00, to: '06:00', multiplier: '0.5'}"),
            [f"{HOURS}.windows.night.from: is read by YAML as 'int'; {IN_QUOTES}"],
        ),
        (
            windows("all: {from: '08:00', to: '08:00', multiplier: '0.5'}"),
            [f"{HOURS}.windows.all.from: '08:00' {WHOLE_DAY}"],
        ),
        (windows("a: {days: [monday], multiplier: '0.5'}"), None),
        (
            windows("a: {dates: ['2027-02-30'], multiplier: '0.5'}"),
            [f"{HOURS}.windows.a.dates[0]: '2027-02-30' is no day: day is out of range for month"],
        ),
        (windows("a: {days: [mon]}"), [f"{HOURS}.windows.a: needs exactly one of multiplier, rates"]),
        (
            windows(f"a: {{days: [mon], multiplier: '2', {RATES}}}"),
            [f"{HOURS}.windows.a: needs exactly one of multiplier, rates"],
        ),
        (
            hours("zone: Europe/Berlim"),
            [f"{HOURS}.zone: 'Europe/Berlim' is no time zone; did you mean 'Europe/Berlin'?"],
        ),
        (
            hours("zone: ../../etc/passwd"),
            None,
        ),
        (
            windows("a: {from: '16:30', to: '00:30', multiplier: '1'}, b: {to: '01:00', multiplier: '2'}"),
            [f"{HOURS}.windows.b: {MEETS} Mondays; {ONE_PRICE}"],
        ),
        (
            windows("a: {days: [sat], multiplier: '1'}, b: {dates: ['2026-12-26'], multiplier: '2'}"),
            [f"{HOURS}.windows.b: {MEETS} 2026-12-26; {ONE_PRICE}"],
        ),
        (
            windows("a: {days: [mon], rates: {output_tokens: {per_1m: '1'}}}"),
            [f"{HOURS}.windows.a.rates: price output, and the card has no `max_output_tokens`"],
        ),
        (
            card(
                "rates: {input_tokens: {per_unit: '4000000000'}}, "
                "hours: {windows: {a: {days: [mon], multiplier: '2'}}}"
            ),
            [f"{HOURS}.windows.a: makes a rate larger than the largest amount there is"],
        ),
    ],
)
def test_faults_of_hours(reported: Reported, cards: str, faults: list[str] | None) -> None:
    found = reported(text_of(rate_cards=cards))
    if faults is None:
        assert len(found) == 1
        assert found[0].startswith(HOURS)
    else:
        assert found == faults


def test_windows_that_only_touch_are_good(load_text: LoadText) -> None:
    day = "a: {from: '08:00', to: '20:00', multiplier: '1'}, b: {from: '20:00', to: '08:00', multiplier: '2'}"
    load_text(text_of(rate_cards=windows(day)))


TIMED = """
rate_cards:
  parent:
    match: [p]
    rates: {input_tokens: {per_1m: '8'}, output_tokens: {per_1m: '16'}}
    max_output_tokens: 100
    least_charge: '0.000000001'
    service_tiers: {flex: '0.5'}
    cases: [{when: {size: large}, rates: {output_tokens: {per_1m: '32'}}}]
    hours:
      zone: Asia/Shanghai
      windows:
        night: {from: '00:30', to: '08:30', multiplier: '0.25'}
        sunday: {days: [sun], from: '08:30', rates: {input_tokens: {per_1m: '1'}}}
    changes:
      - {from: '2027-02-01', rates: {input_tokens: {per_1m: '80'}}}
      - {from: '2027-03-01', hours: {}}
  child:
    like: parent
    rates: {input_tokens: {per_1m: '4'}}
  own:
    like: parent
    hours: {windows: {noon: {from: '12:00', to: '13:00', multiplier: '0'}}}
groups:
  half: {multiplier: '0.5'}
"""


@pytest.mark.parametrize(
    ("card_id", "moment", "of_case", "group", "nano", "price_id"),
    [
        ("parent", "2027-01-15T16:29:59", False, "", 24, "parent"),
        ("parent", "2027-01-15T16:30:00", False, "", 6, "parent+hours=night"),
        ("parent", "2027-01-16T00:29:59", False, "", 6, "parent+hours=night"),
        ("parent", "2027-01-16T00:30:00", False, "", 24, "parent"),
        ("parent", "2027-01-17T00:30:00", False, "", 17, "parent+hours=sunday"),
        ("parent", "2027-01-17T15:59:59", False, "", 17, "parent+hours=sunday"),
        ("parent", "2027-01-17T16:00:00", False, "", 24, "parent"),
        # What a case says itself is multiplied, and stays where a window has other rates.
        ("parent", "2027-01-15T16:30:00", True, "", 10, "parent+size=large+hours=night"),
        ("parent", "2027-01-17T00:30:00", True, "", 33, "parent+size=large+hours=sunday"),
        ("parent", "2027-01-15T12:00:00", False, "half", 12, "parent+group=half"),
        ("parent", "2027-01-15T16:30:00", False, "half", 3, "parent+hours=night+group=half"),
        ("parent", "2027-01-17T00:30:00", True, "half", 16.5, "parent+size=large+hours=sunday+group=half"),
        # A change keeps the windows, and an empty `hours` ends them.
        ("parent", "2027-02-10T12:00:00", False, "", 96, "parent"),
        ("parent", "2027-02-10T20:00:00", False, "", 24, "parent+hours=night"),
        ("parent", "2027-02-07T01:00:00", False, "", 17, "parent+hours=sunday"),
        ("parent", "2027-03-10T20:00:00", False, "", 96, "parent"),
        # A card that is like it has its windows, unless it has its own.
        ("child", "2027-01-15T12:00:00", False, "", 20, "child"),
        ("child", "2027-01-15T20:00:00", False, "", 5, "child+hours=night"),
        ("child", "2027-01-17T01:00:00", True, "", 33, "child+size=large+hours=sunday"),
        ("child", "2027-03-15T20:00:00", False, "", 20, "child"),
        ("own", "2027-01-15T20:00:00", False, "", 24, "own"),
        ("own", "2027-01-15T12:30:00", False, "", 0.000001, "own+hours=noon"),
    ],
)
def test_a_call_has_the_price_of_the_window_that_holds(
    load_text: LoadText, card_id: str, moment: str, of_case: bool, group: str, nano: float, price_id: str
) -> None:
    book = load_text(text_of(rate_cards=TIMED, routes="")).book
    at_us = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 1_000_000
    found = book.card_now(card_id, "", "", lambda: at_us, group)
    assert found is not None
    found = found.case_of({"size": "large"} if of_case else {})
    assert found.id == price_id
    charge = price(found, {"input_tokens": 1_000, "output_tokens": 1_000})
    assert charge.total_nano == int(nano * 1_000_000)


def test_a_multiplied_line_names_its_window_then_its_group_then_its_tier(load_text: LoadText) -> None:
    book = load_text(text_of(rate_cards=TIMED, routes="")).book
    at_us = int(datetime(2027, 1, 15, 20, tzinfo=UTC).timestamp()) * 1_000_000
    found = book.card_now("parent", "", "", lambda: at_us, "half")
    assert found is not None
    [line, *_] = price(found.by_tier["flex"], {"input_tokens": 1_000}).lines
    assert [(step.kind, step.value, step.name) for step in line.steps] == [
        ("times", "0.25", "hours night"),
        ("times", "0.5", "group half"),
        ("times", "0.50", "service tier flex"),
    ]


def test_tiers_count_together_at_all_hours(load_text: LoadText) -> None:
    """What counts for a card is its own counter, also where a window has tiers of its own."""
    rate = "{period: month, tiers: [{upto: 10, per_unit: '2'}, {per_unit: '1'}]}"
    night = f"night: {{from: '20:00', to: '24:00', rates: {{requests: {rate}}}}}"
    text = f"rate_cards: {{tool: {{rates: {{requests: {rate}}}, hours: {{windows: {{{night}}}}}}}}}"
    book = load_text(text_of(rate_cards=text, routes="")).book
    names = set()
    for at_us in (0, 21 * 3_600_000_000):
        [(_, found)] = book.counted(at_us)
        assert found.tiers is not None
        names.add(found.tiers.counter)
    assert names == {"tool/requests"}
