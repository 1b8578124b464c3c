"""POST /v1/billing/quote: what a call would cost, without making it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from proxy.api import decode
from proxy.api.operations import BILLING, ApiSettings, Operation, json_response
from proxy.api.views.money import Display, Usd, display
from proxy.api.views.receipts import LineView, line_view
from proxy.call.quotes import Priced, Quote
from proxy.edge.gateway import expect_later
from proxy.edge.middleware import check_path
from proxy.edge.quotes import AskedCall
from proxy.money import Unit, usd_string
from proxy.pricing.cards import BillingType


class QuoteQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which call it is about: its path, with a query where it has one, and its method."""

    path: Annotated[str, Meta(min_length=1, examples=["/v1/chat/completions"])]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"


class QuotedCall(Struct, frozen=True):
    """The body of the call, as it would be sent: JSON or a form."""


class PricedView(Struct, frozen=True, kw_only=True):
    """A usage by meter, and what it costs line by line."""

    usage: dict[str, int]
    total: Usd
    lines: list[LineView]
    display: Display | UnsetType = UNSET


class QuoteView(Struct, frozen=True, kw_only=True):
    """What a call would cost.

    `floor` is what its request amounts to by itself, as it is counted, and `ceiling` the most that it can
    come to; when it is `exact` both are the same. The call has to hold `hold`.
    """

    object: Literal["quote"] = "quote"
    endpoint: str
    model: str
    billing_type: BillingType
    price_id: str
    exact: bool
    floor: PricedView
    ceiling: PricedView
    hold: Usd
    display: Display | UnsetType = UNSET


QUOTE: Final = Operation(
    id="billing_quote",
    method="POST",
    path=f"{BILLING}/quote",
    summary="What a call would cost: exactly where that is fixed, else at least and at most. It is not made.",
    audience="account",
    reply=QuoteView,
    query=QuoteQuery,
    body=QuotedCall,
)


def quote_routes(
    quote: Callable[[web.Request, AskedCall], Awaitable[Quote]], settings: Callable[[], ApiSettings]
) -> list[web.RouteDef]:
    """The route. The body of the request is that of the call, and is bounded as that is."""

    async def handle(request: web.Request) -> web.Response:
        query = decode.from_query(request.query.items(), QuoteQuery)
        path, _, rest = query.path.partition("?")
        check_path(path)
        found = await quote(request, AskedCall(query.method, path, rest))
        return json_response(200, quote_view(found, settings().unit), {})

    return [web.route(QUOTE.method, QUOTE.path, handle, expect_handler=expect_later)]


def quote_view(quote: Quote, unit: Unit) -> QuoteView:
    """The view of a quote."""
    routed = quote.routed
    card = routed.terms.card
    return QuoteView(
        endpoint=routed.endpoint.name,
        model=routed.ask.model,
        billing_type=card.billing_type,
        price_id=card.price_id,
        exact=quote.is_exact,
        floor=_priced_view(quote.floor, unit),
        ceiling=_priced_view(quote.ceiling, unit),
        hold=usd_string(quote.hold_nano),
        display=display(unit, hold=quote.hold_nano),
    )


def _priced_view(priced: Priced, unit: Unit) -> PricedView:
    charge = priced.charge
    return PricedView(
        usage=dict(priced.usage),
        total=usd_string(charge.total_nano),
        lines=[line_view(line, unit) for line in charge.lines],
        display=display(unit, total=charge.total_nano),
    )
