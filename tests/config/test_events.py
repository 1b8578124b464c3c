"""A type of events has a card that prices it, and a place in the event for each figure."""

from fractions import Fraction

import pytest

from proxy.endpoints.event_plan import EventPlan, LevelPlan, SessionPlan
from proxy.endpoints.formulas import Formula, Part
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Failure, Measure, Parameter
from proxy.ledger.windows import DAY_US
from proxy.pricing.charge import price
from tests.config.samples import CHAT_CARD, LoadText, Reported, text_of

CARD = (
    CHAT_CARD
    + """  gpu:
    rates: {run_seconds: {per_hour: '1.10'}}
  flat: {rates: {requests: {per_unit: '0.01'}}}
  narrow: {rates: {requests: {per_unit: '0.01'}}, endpoints: [chat.completions]}
"""
)
JOB = "measures: {run_seconds: {event: /properties/seconds}}"
PLACE = "events.types.job"
NO_MEMBER = (
    f"{PLACE}.free_when.event: '/error' begins with no member of an event; "
    "these are id, source, type, account, timestamp, properties"
)


def events(job: str, more: str = "") -> str:
    return f"\nevents:\n  types: {{job: {{{job}}}}}\n{more}"


def test_a_plan_is_what_the_file_says(load_text: LoadText) -> None:
    text = (
        "rate_card: gpu, from_keys: true, "
        "measures: {run_seconds: {event: /properties/seconds, most: '2.5', otherwise: '1'}}, "
        "parameters: {gpu: {event: /properties/gpu, otherwise: a}}, free_when: {event: /properties/error}"
    )
    found = load_text(text_of(rate_cards=CARD) + events(text)).events
    seconds = Source("request", "/properties/seconds", ("properties", "seconds"))
    assert found.plans["job"] == EventPlan(
        "job",
        "gpu",
        (Measure("run_seconds", seconds, 2_500_000, 1_000_000),),
        (Parameter("gpu", Source("request", "/properties/gpu", ("properties", "gpu")), "a"),),
        Failure(Source("request", "/properties/error", ("properties", "error"))),
        from_keys=True,
    )
    assert (found.max_age_us, found.max_ahead_us) == (30 * DAY_US, 300_000_000)
    assert found.on_shortfall == "owe"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"rate_card: gpus, {JOB}", f"{PLACE}.rate_card: 'gpus' is not a rate card; did you mean 'gpu'?"),
        (
            f"rate_card: flat, {JOB}",
            f"{PLACE}.measures.run_seconds: has no rate on the rate card 'flat'",
        ),
        (
            "rate_card: gpu",
            f"{PLACE}.rate_card: 'gpu' has a rate for run_seconds, which the type's `measures` do not have",
        ),
        (
            "rate_card: narrow",
            f"{PLACE}.rate_card: 'narrow' prices calls on chat.completions alone, and no events",
        ),
        ("rate_card: flat, free_when: {event: /error}", NO_MEMBER),
        (
            "rate_card: gpu, measures: {run_seconds: {event: /properties/s, most: '1', otherwise: '2'}}",
            f"{PLACE}.measures.run_seconds.otherwise: '2' is more than `most`",
        ),
    ],
)
def test_what_cannot_be_charged_is_a_fault(
    load_text: LoadText, reported: Reported, text: str, fault: str
) -> None:
    assert reported(text_of(rate_cards=CARD) + events(text)) == [fault]


PARTS = "product: [{event: /properties/n, most: '9'}, {event: /properties/seconds, otherwise: '2.5'}], per: 2"


def test_a_measure_may_be_a_formula_of_several_figures(load_text: LoadText) -> None:
    text = f"rate_card: gpu, measures: {{run_seconds: {{{PARTS}}}}}"
    count, seconds = (
        Source("request", f"/properties/{name}", ("properties", name)) for name in ("n", "seconds")
    )
    formula = Formula("product", (Part(count, Fraction(9)), Part(seconds, None, Fraction("2.5"))), 2)
    plan = load_text(text_of(rate_cards=CARD) + events(text)).events.plans["job"]
    assert plan.measures == (Measure("run_seconds", count, 10**14, formula=formula),)


@pytest.mark.parametrize(
    ("measure", "fault"),
    [
        ("most: '1'", ": needs exactly one of event, product, sum"),
        (f"event: /properties/s, {PARTS}", ": needs exactly one of event, product, sum"),
        ("event: /properties/s, per: 2", ".per: '2' divides a `product` or a `sum`, and there is none"),
        (f"{PARTS}, otherwise: '1'", ".otherwise: cannot stand beside a `product` or a `sum`"),
        (
            "sum: [{event: /properties/s, most: '1', otherwise: '2'}]",
            ".sum[0].otherwise: '2' is more than `most`",
        ),
    ],
)
def test_a_formula_that_cannot_be_worked_out_is_a_fault(reported: Reported, measure: str, fault: str) -> None:
    text = f"rate_card: gpu, measures: {{run_seconds: {{{measure}}}}}"
    assert f"{PLACE}.measures.run_seconds{fault}" in reported(text_of(rate_cards=CARD) + events(text))


LEVEL = "meter: gib_hours, thing: /properties/volume, event: /properties/gib"
VOLUMES = """  month: {rates: {gib_hours: {per_month: '0.10'}}}
  day: {rates: {gib_hours: {per_day: '0.24', block: 2}}}
  both: {rates: {gib_hours: {per_unit: '1'}, requests: {per_unit: '1'}}}
  bound: {rates: {gib_hours: {per_unit: '1'}}, least_charge: '1'}
  hours: {rates: {gib_hours: {per_unit: '1'}}, hours: {windows: {weekend: {days: [sat], multiplier: '2'}}}}
"""


def test_a_level_is_what_the_file_says(load_text: LoadText) -> None:
    """A price for a month is for 30 days of 24 hours."""
    more = "most: '2.5', ends_when: {event: /type}, every: hour, late_minutes: 5, when_short: stop"
    text = f"rate_card: month, level: {{{LEVEL}, {more}}}"
    loaded = load_text(text_of(rate_cards=CARD + VOLUMES) + events(text))
    plan = loaded.events.plans["job"]
    volume, gib = (
        Source("request", f"/properties/{name}", ("properties", name)) for name in ("volume", "gib")
    )
    end = Failure(Source("request", "/type", ("type",)))
    assert plan.level == LevelPlan("gib_hours", volume, gib, 2_500_000, end, "hour", 300_000_000, "stop")
    assert plan.meters == ("gib_hours",)
    card = loaded.book.by_id("month")
    assert card is not None
    assert price(card, {"gib_hours": 720_000_000}).total_nano == 100_000_000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"rate_card: gpu, level: {{{LEVEL}}}", "rate_card: 'gpu' has to have a rate for gib_hours, and for"),
        (
            f"rate_card: both, level: {{{LEVEL}}}",
            "rate_card: 'both' has to have a rate for gib_hours",
        ),
        (f"rate_card: day, level: {{{LEVEL}}}", "rate_card: 'day' has quantities or bounds for each request"),
        (f"rate_card: bound, level: {{{LEVEL}}}", "rate_card: 'bound' has quantities or bounds for each"),
        (f"rate_card: hours, level: {{{LEVEL}}}", "rate_card: 'hours' has prices by the hour of the day"),
        (f"rate_card: month, level: {{{LEVEL}}}, {JOB}", "measures: cannot stand beside a `level`"),
        (
            f"rate_card: month, level: {{{LEVEL}}}, free_when: {{event: /type}}",
            "free_when: cannot stand beside a `level`",
        ),
        (
            "rate_card: gpu, level: {meter: run_seconds, thing: /type, event: /type}",
            "level.meter: 'run_seconds' is no meter over time",
        ),
        (f"rate_card: month, level: {{{LEVEL}, most: '1e12'}}", "level.most"),
        ("rate_card: month, level: {meter: gib_hours, thing: /x, event: /type}", "level.thing: '/x' begins"),
        ("rate_card: month, measures: {gib_hours: {event: /type}}", "measures.gib_hours: is no meter of"),
    ],
)
def test_a_level_that_cannot_be_charged_is_a_fault(reported: Reported, text: str, fault: str) -> None:
    found = reported(text_of(rate_cards=CARD + VOLUMES) + events(text))
    assert any(each.startswith(f"{PLACE}.{fault}") for each in found), found


SESSION = "session: /properties/session, state: /properties/state"


def test_a_session_is_what_the_file_says(load_text: LoadText) -> None:
    more = "key: /properties/key, hold_seconds: 60, idle_seconds: 30, longest_seconds: 90, charge_idle: false"
    text = f"rate_card: gpu, session: {{{SESSION}, {more}}}"
    plan = load_text(text_of(rate_cards=CARD) + events(text)).events.plans["job"]
    session, state, key = (
        Source("request", f"/properties/{n}", ("properties", n)) for n in ("session", "state", "key")
    )
    times = (60_000_000, 30_000_000, 90_000_000)
    assert plan.session == SessionPlan(session, state, key, *times, charges_idle=False)
    assert plan.meters == ("run_seconds",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"rate_card: gpu, session: {{{SESSION}}}", "session.key: is missing"),
        (f"rate_card: flat, from_keys: true, session: {{{SESSION}}}", "rate_card: 'flat' has to have a rate"),
        (f"rate_card: gpu, from_keys: true, {JOB}, session: {{{SESSION}}}", "measures: cannot stand beside"),
    ],
)
def test_a_session_that_is_nobodys_or_has_no_price_is_a_fault(
    reported: Reported, text: str, fault: str
) -> None:
    found = reported(text_of(rate_cards=CARD) + events(text))
    assert any(each.startswith(f"{PLACE}.{fault}") for each in found), found


def test_only_what_is_there_over_time_has_a_price_for_a_day_or_a_month(reported: Reported) -> None:
    for way in ("per_day", "per_month"):
        cards = CHAT_CARD + f"  gpu: {{rates: {{run_seconds: {{{way}: '1'}}}}}}\n"
        (fault,) = reported(text_of(rate_cards=cards))
        assert "per_hour" in fault


def test_an_event_is_known_for_longer_than_it_is_taken(reported: Reported) -> None:
    """Else it could be charged twice."""
    text = text_of(rate_cards=CARD) + events("rate_card: flat", "  max_age_days: 90\n")
    (fault,) = reported(text)
    assert fault.startswith("events.max_age_days: 90 must be less than objects.keep_days")
