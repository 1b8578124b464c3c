"""List prices of public models, from the data that comes with `genai-prices`: nothing is fetched.

A card that takes them is written out as if its file said them. What the data say and a card cannot is a
fault: nothing is left out or rounded. Which data they were is in the price ids of the cards.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cache
from itertools import pairwise
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from proxy.config.card_schema import (
    ChangeSchema,
    ContextTierSchema,
    PricesSchema,
    RateCardSchema,
    RateSchema,
)
from proxy.config.faults import Findings
from proxy.globs import is_glob
from proxy.validation import Path, did_you_mean

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

SOURCE: Final = "genai-prices"
_METERS: Final[Mapping[str, tuple[str, str]]] = {
    "input_mtok": ("input_tokens", "per_1m"),
    "output_mtok": ("output_tokens", "per_1m"),
    "cache_read_mtok": ("cached_input_tokens", "per_1m"),
    "cache_write_mtok": ("cache_write_tokens", "per_1m"),
    "cache_write_1h_mtok": ("cache_write_1h_tokens", "per_1m"),
    "input_audio_mtok": ("input_audio_tokens", "per_1m"),
    "output_audio_mtok": ("output_audio_tokens", "per_1m"),
    "input_image_mtok": ("input_image_tokens", "per_1m"),
    "output_image_mtok": ("output_image_tokens", "per_1m"),
    "output_reasoning_mtok": ("reasoning_tokens", "per_1m"),
    "input_mchars": ("characters", "per_1m"),
    "audio_hours": ("audio_seconds", "per_hour"),
    "web_searches_kcount": ("web_searches", "per_1k"),
    "storage_searches_kcount": ("file_searches", "per_1k"),
    "requests_kcount": ("requests", "per_1k"),
}
"""The meter of each price, and for how many units it is."""
_WRITES: Final = ("cache_write_1h_tokens", "cache_write_12h_tokens")
"""Kinds of writes that the data price as any write, where they have no price of their own for them."""
_LEAST: Final = {("groq", "whisper-large-v3"): 10, ("groq", "whisper-large-v3-turbo"): 10}
"""Seconds that are billed at least: the package knows them beside its data."""
_ELSEWHERE: Final = frozenset({"processing", "service_tier", "speed"})
"""What other prices are for that no call gets by the rates: calls of other tiers need `service_tiers`."""
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class InexpressibleError(Exception):
    """The data say something that a rate card cannot."""


class ListPrices(msgspec.Struct, frozen=True):
    """Cards as if their file said all prices, and the source of each that has one, by card name."""

    cards: dict[str, RateCardSchema]
    sources: dict[str, str]


def with_list_prices(cards: Mapping[str, RateCardSchema], findings: Findings) -> ListPrices:
    """The cards of a file, with those written out that take their prices from a list."""
    made: dict[str, RateCardSchema] = {}
    sources: dict[str, str] = {}
    for name, card in cards.items():
        if card.prices is None:
            made[name] = card
            continue
        for own_name, one in _written_out(name, card, card.prices, findings):
            made[own_name] = one
            sources[own_name] = pin()
    return ListPrices(made, sources)


@cache
def pin() -> str:
    """Which data these are: the package, its version, and a digest of its data. Raises ImportError."""
    import genai_prices  # noqa: PLC0415 - it is optional, and takes a second.
    from genai_prices import data  # noqa: PLC0415

    digest = hashlib.sha256(FilePath(data.__file__).read_bytes()).hexdigest()[:8]
    return f"{SOURCE}-{genai_prices.__version__}-{digest}"


def _written_out(
    name: str, card: RateCardSchema, prices: PricesSchema, findings: Findings
) -> Iterator[tuple[str, RateCardSchema]]:
    path: Path = ("rate_cards", name, "prices")
    try:
        found = pin()
        from genai_prices.data import providers  # noqa: PLC0415
    except ImportError:
        message = "needs the package that the extra `prices` installs: pip install 'farebox[prices]'"
        findings.fault((*path, "from"), message, prices.source)
        return
    if prices.pin is not None and prices.pin != found:
        findings.fault((*path, "pin"), f"is not what is installed, which is {found}", prices.pin)
    by_id = {provider.id: provider for provider in providers}
    provider = by_id.get(prices.provider)
    if provider is None:
        near = did_you_mean(prices.provider, by_id)
        findings.fault((*path, "provider"), f"is not a provider; {near}", prices.provider)
        return
    if card.like is not None:
        findings.fault(path, "cannot be of a card that is like another")
    if prices.markup is not None and card.markup is not None:
        findings.fault((*path, "markup"), "is there twice: the card has a `markup` of its own")
    models = _models(prices, provider)
    if not models:
        near = did_you_mean(prices.model, [model.id for model in provider.models])
        findings.fault((*path, "model"), f"is not a model of {provider.id}; {near}", prices.model)
    many = is_glob(prices.model)
    for model in models:
        try:
            one = card_with_prices(card, prices, provider.id, model)
        except InexpressibleError as fault:
            leave = "; `without` leaves models out" if many else ""
            findings.fault((*path, "model"), f"{fault}, which a rate card cannot say{leave}", model.id)
            continue
        yield (f"{name}-{model.id}" if many else name), one


def _models(prices: PricesSchema, provider: "Provider") -> list["ModelInfo"]:
    """The models of a glob, but for those that it is to do without."""
    return [
        model
        for model in provider.models
        if fnmatchcase(model.id, prices.model)
        and not any(fnmatchcase(model.id, glob) for glob in prices.without)
    ]


def card_with_prices(
    card: RateCardSchema, prices: PricesSchema, provider_id: str, model: "ModelInfo"
) -> RateCardSchema:
    """The card with the prices of a model, from each day on that they change. Raises InexpressibleError."""
    stages = [
        (since, _terms(model.get_prices(datetime.combine(since, time(), UTC)), provider_id, model.id))
        for since in (_FIRST.date(), *_days(model))
    ]
    (_, (rates, tiers)), *later = stages
    changes = [
        ChangeSchema(rates=changed, context_tiers=tiered, since=since.isoformat())
        for (since, (changed, tiered)), (_, before) in zip(later, stages, strict=False)
        if (changed, tiered) != before
    ]
    _check_changes(stages)
    return replace(
        card,
        match=[model.id] if is_glob(prices.model) or not card.match else card.match,
        prices=None,
        rates={**rates, **(card.rates or {})},
        context_tiers=card.context_tiers or tiers,
        changes=[*changes, *card.changes],
        markup=card.markup or prices.markup,
        context_tokens=card.context_tokens or model.context_window,
    )


_Terms = tuple[dict[str, RateSchema], list[ContextTierSchema]]


def _check_changes(stages: Sequence[tuple[date, _Terms]]) -> None:
    """A change says what is new: what a price list no longer has would stay. Raises InexpressibleError."""
    for (_, (before, _tiers)), (since, (after, _)) in pairwise(stages):
        if gone := before.keys() - after.keys():
            raise InexpressibleError(f"has no price of {', '.join(sorted(gone))} from {since} on")


def _days(model: "ModelInfo") -> list[date]:
    """The days on which prices change. Raises InexpressibleError for prices that depend on anything else."""
    from genai_prices.types import ModelPrice, StartDateConstraint  # noqa: PLC0415

    for variant in model.price_variants or ():
        if not variant.when.keys() <= _ELSEWHERE:
            raise InexpressibleError(f"has prices that depend on {' and '.join(variant.when)}")
    if isinstance(model.prices, ModelPrice):
        return []
    days: set[date] = set()
    for each in model.prices:
        if isinstance(each.constraint, StartDateConstraint):
            days.add(each.constraint.start_date)
        elif each.constraint is not None:
            raise InexpressibleError("has prices that depend on the time of day")
    return sorted(days)


def _terms(price: "ModelPrice", provider_id: str, model_id: str) -> _Terms:
    """Rates, and those of longer inputs. Raises InexpressibleError."""
    from genai_prices.types import TieredPrices  # noqa: PLC0415

    rates: dict[str, RateSchema] = {}
    tiered: dict[str, tuple[str, TieredPrices]] = {}
    for key, value in vars(price).items():
        if value is None:
            continue
        if key not in _METERS:
            raise InexpressibleError(f"has a price of {key}")
        meter, way = _METERS[key]
        if isinstance(value, TieredPrices):
            tiered[meter] = (way, value)
        rates[meter] = _rate(way, value.base if isinstance(value, TieredPrices) else value)
    if not rates:
        raise InexpressibleError("has no price")
    if least := _LEAST.get((provider_id, model_id)):
        rates["audio_seconds"] = replace(rates["audio_seconds"], least=least)
    lengths = sorted({tier.start for _, value in tiered.values() for tier in value.tiers})
    spans = {
        above: {meter: _rate(way, _at(value, above)) for meter, (way, value) in tiered.items()}
        for above in lengths
    }
    unnamed = [meter for meter in _WRITES if meter not in rates]
    for each in (rates, *spans.values()):
        if "cache_write_tokens" in each:
            each.update(dict.fromkeys(unnamed, each["cache_write_tokens"]))
    return rates, [ContextTierSchema(above=above, rates=span) for above, span in spans.items()]


def _at(value: object, above: int) -> Decimal:
    """The price of inputs longer than `above`."""
    from genai_prices.types import TieredPrices  # noqa: PLC0415

    assert isinstance(value, TieredPrices)
    return next((tier.price for tier in reversed(value.tiers) if tier.start <= above), value.base)


def _rate(way: str, value: object) -> RateSchema:
    """A rate of an exact price. Raises InexpressibleError for a float, which is none."""
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        raise InexpressibleError(f"has {value!r} for a price")
    return replace(RateSchema(), **{way: format(value, "f")})
