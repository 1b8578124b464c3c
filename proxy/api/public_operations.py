"""The operations of the gateway and of the process, described for the OpenAPI document.

Bodies and replies of calls are OpenAI's. A family names the fields that decide about routing and money; its
table of members says which others pass.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final, Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.objects import LIMIT
from proxy.api.operations import Nothing, Operation
from proxy.api.views.models import ModelsQuery
from proxy.api.views.money import Usd, When
from proxy.endpoints.base import Family
from proxy.endpoints.objects import ObjectKind
from proxy.endpoints.registry import ENDPOINTS, FORMS, KINDS, MEDIA
from proxy.pricing.hours import Weekday
from proxy.pricing.tiers import Period


class CallReply(Struct, frozen=True):
    """The upstream's reply, byte for byte."""


class TierPriceView(Struct, frozen=True):
    """The price of the units of a period up to one of them; the last tier has no end."""

    price: Usd
    upto: int | UnsetType = UNSET


class PriceView(Struct, frozen=True):
    """The price of `per` units of a meter.

    Where it depends on what the account has used in a `period`, it is the dearest of the tiers. Units of a
    period have the price of their own tier or, with volume tiers, all that of the tier that it has reached.
    """

    price: Usd
    per: int
    currency: Literal["USD"]
    free_with: list[str] | UnsetType = UNSET
    free_without: str | UnsetType = UNSET
    included: int | UnsetType = UNSET
    least: int | UnsetType = UNSET
    block: int | UnsetType = UNSET
    carried: Period | UnsetType = UNSET
    tiers: list[TierPriceView] | UnsetType = UNSET
    volume_tiers: list[TierPriceView] | UnsetType = UNSET
    period: Period | UnsetType = UNSET
    rolls_over: int | UnsetType = UNSET
    counter: str | UnsetType = UNSET


class ContextTierView(Struct, frozen=True):
    """What a call costs whose whole input is longer than so many tokens."""

    above: int
    pricing: dict[str, PriceView]


class CaseView(Struct, frozen=True, kw_only=True):
    """What a call costs whose parameters have all these values, in any case."""

    when: dict[str, str]
    pricing: dict[str, PriceView]
    context_tiers: list[ContextTierView] | UnsetType = UNSET
    price_id: str
    max_output_tokens: int | UnsetType = UNSET


class ExtraView(Struct, frozen=True):
    """What a member of a request turns on: units of a meter, one or one for each address in the request."""

    meter: str
    counted: Literal["once", "addresses"]
    most: int


class CardView(Struct, frozen=True, kw_only=True):
    """How calls of a model are billed, and all that decides what they cost."""

    billing_type: Literal["per_call", "per_token", "metered"]
    pricing: dict[str, PriceView]
    context_tiers: list[ContextTierView] | UnsetType = UNSET
    price_id: str
    max_output_tokens: int | UnsetType = UNSET
    input_allowance_tokens: int | UnsetType = UNSET
    service_tiers: dict[str, str] | UnsetType = UNSET
    service_tier_pricing: dict[str, dict[str, PriceView]] | UnsetType = UNSET
    service_tier_by: Literal["answer"] | UnsetType = UNSET
    discounts: Literal["largest"] | UnsetType = UNSET
    answered: dict[str, dict[str, PriceView]] | UnsetType = UNSET
    cases: list[CaseView] | UnsetType = UNSET
    extras: dict[str, ExtraView] | UnsetType = UNSET
    markup: str | UnsetType = UNSET
    least_charge: Usd | UnsetType = UNSET
    most_charge: Usd | UnsetType = UNSET


class WindowView(
    CardView,
    frozen=True,
    kw_only=True,
    rename={"since": "from", "until": "to", "exceptions": "except"},
):
    """When calls have other prices: from a time of the day until before another, maybe of the next day.

    It begins on `days` and on `dates`, on every day where there are neither, and never on those of `except`.
    """

    name: str
    since: str
    until: str
    days: list[Weekday] | UnsetType = UNSET
    dates: list[str] | UnsetType = UNSET
    exceptions: list[str] | UnsetType = UNSET


class HoursView(Struct, frozen=True, kw_only=True, rename={"otherwise": "else"}):
    """The prices of windows of time, as the clocks of a zone show it, and those of all other times."""

    zone: str
    windows: list[WindowView]
    otherwise: CardView


class TimedCardView(CardView, frozen=True, kw_only=True):
    """What calls cost at a moment, and at which hours they cost something else."""

    hours: HoursView | UnsetType = UNSET


class PriceChangeView(TimedCardView, frozen=True, kw_only=True, rename={"since": "from"}):
    """What calls cost from a moment on, outside of the windows of `hours`."""

    since: When


class PricedModel(TimedCardView, frozen=True, kw_only=True):
    """What both shapes of a model have: the paths of its calls, and their price."""

    id: str
    endpoints: list[str]
    context_length: int | UnsetType = UNSET
    price_changes: list[PriceChangeView] | UnsetType = UNSET


class ModelView(PricedModel, frozen=True, kw_only=True):
    """A model that the key may use, its price, and how it is billed."""

    object: Literal["model"]
    created: int
    owned_by: str


class ModelsView(Struct, frozen=True, kw_only=True):
    """The models that the key may use."""

    object: Literal["list"]
    data: list[ModelView]


class AnthropicModelView(PricedModel, frozen=True, kw_only=True):
    """The same model, as Anthropic's API has it."""

    type: Literal["model"]
    display_name: str
    created_at: str
    lifecycle: Literal["active"]
    max_input_tokens: int | None
    max_tokens: int | None


class AnthropicModelsView(Struct, frozen=True, kw_only=True):
    """A page of the models that the key may use, as Anthropic's API has it."""

    data: list[AnthropicModelView]
    has_more: bool
    first_id: str | None
    last_id: str | None


class StatusView(Struct, frozen=True):
    """The state of the process."""

    status: str


_JSON: Final = "application/json"


def _of_family(family: Family) -> Operation[Any, Any, Any]:
    takes, media = MEDIA.get(family.name, (_JSON, _JSON))
    return Operation(
        id=family.name.replace(".", "_"),
        method="POST",
        path=family.path,
        summary=family.summary,
        audience="account",
        reply=CallReply,
        query=Nothing,
        body=family.request,
        media=media,
        takes=takes,
        streams=family.streams,
        form=FORMS.get(family.name),
    )


class ObjectQuery(Struct, frozen=True, kw_only=True):
    """Which objects of a list are wanted."""

    limit: int = LIMIT
    after: str | UnsetType = UNSET
    order: Literal["asc", "desc"] = "desc"
    model: str | UnsetType = UNSET


class ObjectsView(Struct, frozen=True, kw_only=True):
    """The account's objects of one kind, as their upstreams described each last."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


def _of_kind(kind: ObjectKind) -> Iterator[Operation[Any, Any, Any]]:
    for method, path, name, summary in kind.paths():
        id_ = name.replace(".", "_")
        yield Operation(id_, method, path, summary, "account", CallReply, Nothing, Nothing)
    if kind.is_listed:
        summary = f"The account's {kind.endpoint}, as they were seen last: free."
        yield Operation(
            f"{kind.endpoint}_list", "GET", kind.path, summary, "account", ObjectsView, ObjectQuery, Nothing
        )


OPERATIONS: Final = (
    *map(_of_family, ENDPOINTS.values()),
    *chain.from_iterable(map(_of_kind, KINDS)),
    Operation(
        id="list_models",
        method="GET",
        path="/v1/models",
        summary="The models the key may use, with their prices.",
        audience="account",
        reply=ModelsView,
        anthropic_reply=AnthropicModelsView,
        query=ModelsQuery,
        body=Nothing,
    ),
    Operation(
        id="show_model",
        method="GET",
        path="/v1/models/{id}",
        summary="One model the key may use, with its price.",
        audience="account",
        reply=ModelView,
        anthropic_reply=AnthropicModelView,
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        id="healthz",
        method="GET",
        path="/healthz",
        summary="Whether the process answers at all.",
        audience="public",
        reply=StatusView,
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        id="readyz",
        method="GET",
        path="/readyz",
        summary="Whether the process takes calls; 503 if it does not.",
        audience="public",
        reply=StatusView,
        query=Nothing,
        body=Nothing,
    ),
    Operation(
        id="metrics",
        method="GET",
        path="/metrics",
        summary="The figures of the process, in Prometheus' text format.",
        audience="public",
        reply=str,
        query=Nothing,
        body=Nothing,
        media="text/plain",
    ),
)
