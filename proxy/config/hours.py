"""The hours of a rate card: windows of time that are all of one zone and do not meet, with their rates."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, tzinfo
from itertools import combinations
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from msgspec.structs import replace

from proxy.config.card_schema import HoursSchema, WindowSchema
from proxy.config.faults import Findings
from proxy.config.rates import case_rates, checked_meters, lacks_bound, over, rates_of
from proxy.config.tiers import with_own_counters
from proxy.money import MAX_NANO, Unit
from proxy.pricing.cards import Hours, RateCard
from proxy.pricing.hours import DAY_MINUTES, Window
from proxy.pricing.rates import Rate
from proxy.validation import Path, did_you_mean

OF: Final = "hours"
"""What steps and ids of cards call a window."""


def hours_of(
    card: RateCard, schema: HoursSchema, unit: Unit, path: Path, findings: Findings
) -> tuple[Hours, ...]:
    """The hours that a card says itself."""
    zone = _zone(schema.zone, (*path, "zone"), findings)
    places = {name: (*path, "windows", name) for name in schema.windows}
    windows = [_window(name, each, zone, places[name], findings) for name, each in schema.windows.items()]
    for first, later in combinations(windows, 2):
        day = first.shared_day(later)
        if day is not None:
            findings.fault(places[later.name], f"meets {first.name!r}: {_said(first, later, day)}")
    hours = []
    for window in windows:
        said = schema.windows[window.name]
        rates = rates_of(said.rates, unit, (*places[window.name], "rates"), findings)
        spares = tuple(checked_meters(said.spares, (*places[window.name], "spares"), findings))
        made = _at(card, window, rates, said.multiplier or "", spares)
        _check(made.card, card, places[window.name], findings)
        hours.append(made)
    return tuple(hours)


def like_hours(card: RateCard, hours: Iterable[Hours]) -> tuple[Hours, ...]:
    """The hours of the card that a card is like: what they say themselves is kept."""
    return tuple(_at(card, each.window, each.said, each.multiplier, each.spares) for each in hours)


def _at(
    card: RateCard, window: Window, said: Sequence[Rate], multiplier: str, spares: tuple[str, ...]
) -> Hours:
    """A card within a window. What cases of the card say themselves stays, unless all is multiplied."""
    if multiplier:
        made = card.multiplied(multiplier, window.name, OF, spares)
    else:
        rates = with_own_counters(over(card.rates, said), card.id)
        suffix = f"+{OF}={window.name}"
        cases = (
            replace(
                case,
                card=replace(
                    case.card,
                    id=f"{case.card.id}{suffix}",
                    rates=with_own_counters(case_rates(rates, case), card.id),
                ),
            )
            for case in card.cases
        )
        made = replace(card, id=f"{card.id}{suffix}", rates=rates, cases=tuple(cases))
    return Hours(window, made, tuple(said), multiplier, spares)


def _zone(name: str, path: Path, findings: Findings) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        findings.fault(path, f"is no time zone; {did_you_mean(name, sorted(available_timezones()))}", name)
        return UTC


def _window(name: str, schema: WindowSchema, zone: tzinfo, path: Path, findings: Findings) -> Window:
    since, until = _minute(schema.since), _minute(schema.until)
    if since in {until, DAY_MINUTES}:
        message = "must be before 24:00 and differ from `to`; a whole day has neither `from` nor `to`"
        findings.fault((*path, "from"), message, schema.since)
    if (schema.multiplier is None) == (schema.rates is None):
        findings.fault(path, "needs exactly one of multiplier, rates")
    return Window(
        name,
        zone,
        since,
        until if until > since else until + DAY_MINUTES,
        tuple(schema.days),
        _dates(schema.dates, (*path, "dates"), findings),
        _dates(schema.exceptions, (*path, "except"), findings),
    )


def _minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def _dates(texts: Sequence[str], path: Path, findings: Findings) -> tuple[date, ...]:
    dates = []
    for index, text in enumerate(texts):
        try:
            dates.append(date.fromisoformat(text))
        except ValueError as error:
            findings.fault((*path, index), f"is no day: {error}", text)
    return tuple(dates)


def _said(first: Window, later: Window, day: date) -> str:
    """The day on which two windows meet, as short as it tells."""
    named = {*first.dates, *first.exceptions, *later.dates, *later.exceptions}
    when = day.isoformat() if named else f"{day:%A}s"
    return f"both hold at some time of what begins on {when}; a call has one price"


def _check(card: RateCard, usual: RateCard, path: Path, findings: Findings) -> None:
    """Faults of the card of a window: output that is only priced there, and rates beyond all amounts."""
    if any(map(lacks_bound, card.variants)) and not any(map(lacks_bound, usual.variants)):
        findings.fault((*path, "rates"), "price output, and the card has no `max_output_tokens`")
    cards = (each for variant in card.variants for each in (variant, *variant.by_tier.values()))
    if any(rate.unit_nano * rate.per > MAX_NANO for each in cards for rate in each.rates):
        findings.fault(path, "makes a rate larger than the largest amount there is")
