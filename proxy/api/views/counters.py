"""The view of counters: what an account has used in a period, and of which tier of each rate that is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from proxy.api.views.money import Usd, When, instant
from proxy.ledger.rows import Counter
from proxy.ledger.windows import DAY_US, ends_us
from proxy.money import NANO_PER_USD, decimal_string
from proxy.pricing.cards import RateCard
from proxy.pricing.counting import NOTHING
from proxy.pricing.rates import Rate
from proxy.pricing.steps import times
from proxy.pricing.tiers import Count, CounterKey, Period, rolled_to


class TierView(Struct, frozen=True, kw_only=True):
    """A tier of a rate: its last unit, null for no end, the price of units in it, and how many it has by now.

    With volume tiers all units have the price of the last tier that has any.
    """

    upto: int | None
    price: Usd
    per: int
    used: int


class CountedRateView(Struct, frozen=True, kw_only=True):
    """A rate of a rate card that counts."""

    rate_card: str
    meter: str
    volume: bool
    tiers: list[TierView]


class CounterView(Struct, frozen=True, kw_only=True):
    """What was used in a period, in units as receipts have them, and the rates in force that count it.

    A counter that is a rate's own has the names of its rate card and its meter.
    """

    object: Literal["counter"] = "counter"
    name: str
    period: Period
    starts_at: When
    resets_at: When | None
    used: int
    rates: list[CountedRateView]


class CountersView(Struct, frozen=True, kw_only=True):
    """The counters of an account in the periods of now, by name."""

    object: Literal["list"] = "list"
    data: list[CounterView]


def counters_view(
    counters: Iterable[Counter],
    counted: Iterable[tuple[RateCard, Rate]],
    first_days: Mapping[Period, int],
) -> CountersView:
    """The view of an account's counters, those included of rates that have counted nothing yet."""
    used: dict[CounterKey, Count] = {}
    rates: dict[CounterKey, dict[tuple[object, ...], tuple[RateCard, Rate]]] = {}
    for row in counters:
        used[row.name, row.window, row.start_day] = Count(row.quantity, row.volume)
    for card, rate in counted:
        if rate.tiers is not None:
            key = (rate.tiers.counter, rate.tiers.window, first_days[rate.tiers.window])
            # Cases that say nothing of a rate have that of the card.
            same = (rate.meter, rate.tiers, rate.steps, card.id.partition("+")[0])
            rates.setdefault(key, {}).setdefault(same, (card, rate))
    return CountersView(
        data=[
            _view(*_as_of_now(key, used.get(key, NOTHING), [*rates.get(key, {}).values()], first_days))
            for key in sorted({*used, *rates})
        ]
    )


def _as_of_now(
    key: CounterKey,
    count: Count,
    rates: Sequence[tuple[RateCard, Rate]],
    first_days: Mapping[Period, int],
) -> tuple[CounterKey, int, Iterable[tuple[RateCard, Rate]]]:
    """What a counter has in the present period, and its rates. Of what rolls over that is known by these."""
    tiers = rates[0][1].tiers if rates else None
    if tiers is None or not tiers.rolls:
        return key, count.quantity, rates
    rolled = rolled_to(count, tiers, first_days[tiers.period])
    free, *others = tiers.tiers
    now = replace(tiers, tiers=(replace(free, upto=rolled.free + rolled.rolled), *others))
    shown = [(card, replace(rate, tiers=now)) for card, rate in rates]
    return (key[0], tiers.period, rolled.first_day), count.quantity - rolled.begun, shown


def _view(key: CounterKey, used: int, rates: Iterable[tuple[RateCard, Rate]]) -> CounterView:
    name, period, first_day = key
    end_us = ends_us(period, first_day)
    return CounterView(
        name=name,
        period=period,
        starts_at=instant(first_day * DAY_US),
        resets_at=None if end_us is None else instant(end_us),
        used=used,
        rates=[
            CountedRateView(
                rate_card=card.id,
                meter=rate.meter,
                volume=rate.tiers.is_volume,
                tiers=list(tier_views(rate, used)),
            )
            for card, rate in rates
            if rate.tiers is not None
        ],
    )


def tier_views(rate: Rate, used: int) -> Iterator[TierView]:
    """The tiers of a rate, of which so much was used."""
    assert rate.tiers is not None
    floor = 0
    for tier in rate.tiers.tiers:
        price = tier.price * times(rate.steps) / NANO_PER_USD
        stop = tier.upto or max(used, floor)
        yield TierView(
            upto=tier.upto or None,
            price=decimal_string(price),
            per=rate.per,
            used=max(0, min(used, stop) - floor),
        )
        floor = tier.upto
