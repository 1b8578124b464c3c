"""A type of events has a card that prices it, and a place in the event for each figure."""

import pytest

from proxy.endpoints.event_plan import EventPlan
from proxy.endpoints.sources import Source
from proxy.endpoints.tool_plan import Failure, Measure, Parameter
from proxy.ledger.windows import DAY_US
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


def test_an_event_is_known_for_longer_than_it_is_taken(reported: Reported) -> None:
    """Else it could be charged twice."""
    text = text_of(rate_cards=CARD) + events("rate_card: flat", "  max_age_days: 90\n")
    (fault,) = reported(text)
    assert fault.startswith("events.max_age_days: 90 must be less than objects.keep_days")
