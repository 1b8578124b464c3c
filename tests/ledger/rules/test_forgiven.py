"""Volume tiers and what was forgiven: nobody gets back what was never paid."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.ledger.commands import Settled
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import price
from proxy.pricing.rates import Rate
from proxy.pricing.steps import Step
from proxy.pricing.tiers import Tier, Tiers
from tests.ledger.audit.audited import differences, rows_of
from tests.ledger.desk import Desk

TIERS = Tiers("images", "month", (Tier(10, "100"), Tier(40, "60"), Tier(0, "0")), is_volume=True)
CARD = RateCard("card", (), (Rate("images", Fraction(100), 1, (), TIERS),))
INCLUDED = RateCard("card", (), (Rate("images", Fraction(100), 1, (Step("less", "3"),), TIERS),))


def use(desk: Desk, images: int, funds_nano: int, card: RateCard = CARD) -> Settled:
    """Make a call that so much can be paid of; what it held is less than it costs."""
    if funds_nano:
        desk.grant(funds_nano)
    call_id = desk.next_id("call")
    desk.hold(funds_nano, call_id)
    command = replace(desk.settlement(call_id, 0, {"images": images}), charge=price(card, {"images": images}))
    settled = desk.do(command)
    assert isinstance(settled, Settled)
    return settled


def test_units_that_were_forgiven_give_no_credit_in_a_cheaper_tier() -> None:
    """Of ten images six are forgiven: four were paid for, and cost forty less each once there are more."""
    desk = Desk()
    first = use(desk, 10, 400)
    assert (first.charged_nano, first.shortfall_nano) == (400, 600)
    second = use(desk, 5, 1_000)
    assert (second.charged_nano, second.shortfall_nano) == (5 * 60 - 4 * 40, 0)
    assert not differences(rows_of(desk.store.books))


def test_a_call_that_nothing_was_paid_for_gives_nothing_back() -> None:
    desk = Desk()
    use(desk, 10, 0)
    assert use(desk, 1, 60).charged_nano == 60
    assert not differences(rows_of(desk.store.books))


def test_units_that_are_included_in_a_call_give_no_credit() -> None:
    desk = Desk()
    assert use(desk, 10, 1_000, INCLUDED).charged_nano == 700
    assert use(desk, 8, 1_000, INCLUDED).charged_nano == 5 * 60 - 7 * 40
    assert not differences(rows_of(desk.store.books))


@given(calls=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4_000)), max_size=12))
def test_nobody_pays_less_for_what_was_paid_than_it_costs(calls: list[tuple[int, int]]) -> None:
    """All units that were not forgiven cost together what they cost in the tier that is reached, at least.

    Each call is rounded to a whole nano-dollar.
    """
    desk = Desk()
    used = paid = 0
    worth = Fraction(0)
    for images, funds_nano in calls:
        made = use(desk, images, funds_nano)
        if not images:
            continue
        before, used = used, used + images
        was, now = (Fraction(TIERS.at(units)[1].price_nano) for units in (before, used))
        # What every unit is worth in the tier that is reached, less what was let go in the tier of its call.
        worth = (worth * now / was if was else Fraction(0)) + images * now - made.shortfall_nano
        paid += made.charged_nano
        assert paid + len(calls) >= worth
    assert not differences(rows_of(desk.store.books))
