"""The views of calls: the receipt of one that has ended, the hold of one in flight."""

from decimal import Decimal
from fractions import Fraction
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from proxy.api.reader import SeenHold, SeenReceipt
from proxy.api.views.money import Display, Usd, When, display, instant
from proxy.ledger.rows import HoldState
from proxy.metering.usage import Basis, Inference
from proxy.money import NANO_PER_USD, Unit, decimal_string, usd_string
from proxy.pricing.charge import Line
from proxy.pricing.steps import Step, StepKind


class StepView(Struct, frozen=True, kw_only=True):
    """What was done to a quantity, its price, or the sum before it. `name` says whose, where that matters."""

    kind: StepKind
    value: str
    name: str | UnsetType = UNSET


class LineView(Struct, frozen=True, kw_only=True):
    """One line of a charge: `quantity` units of a meter at `price` for each `per` units.

    `steps` are there where the amount follows from more than that. A markup and what bounds a charge have
    lines of their own, with steps alone.
    """

    meter: str
    quantity: int
    price: Usd
    per: int
    amount: Usd
    steps: list[StepView] | UnsetType = UNSET
    display: Display | UnsetType = UNSET


class AttemptView(Struct, frozen=True, kw_only=True):
    """One try at one target, by the name of its upstream; `status` is null when no answer came."""

    target: str
    status: int | None
    seconds: float


class ReceiptView(Struct, frozen=True, kw_only=True):
    """The receipt of a call: its usage, its charge line by line, and the basis of the usage.

    `charged + shortfall` is `total`: neither the hold nor the funds covered the shortfall, which is forgiven.
    Nor did they cover `owed`, which is a part of `charged`: it became debt. `refunded` is what was given back
    of it since. `hold` is what was held for the call. `end_user` is whom the request says it is
    for, null where it does not, and `metadata` what it says beside that. `attempts` are the targets that it
    was sent to, in order. `inferred` has the meters of the usage whose figures the upstream did not give
    itself, and how each was found.
    """

    object: Literal["receipt"] = "receipt"
    id: str
    account_id: str
    key_id: str
    endpoint: str
    model: str
    end_user: str | None
    run_id: str | None
    metadata: dict[str, str]
    stream: bool
    started_at: When
    first_byte_at: When | None
    ended_at: When
    outcome: str
    status: int
    basis: Basis
    usage: dict[str, int]
    inferred: dict[str, Inference]
    anomalies: int
    attempts: list[AttemptView]
    price_id: str
    lines: list[LineView]
    total: Usd
    charged: Usd
    shortfall: Usd
    owed: Usd
    refunded: Usd
    hold: Usd
    display: Display | UnsetType = UNSET


class AdminReceiptView(ReceiptView, frozen=True, kw_only=True):
    """A receipt as the admin sees it, with the upstream and its model."""

    upstream: str
    upstream_model: str


class HoldView(Struct, frozen=True, kw_only=True):
    """Funds set aside for one call. `observed` is its usage so far, `observed_charge` the price of that.

    `deadline` is until when it may outlive the process that made it, null where it may not. The members about
    the call are null once the hold is closed: then the receipt has them.
    """

    object: Literal["hold"] = "hold"
    id: str
    account_id: str
    key_id: str
    state: HoldState
    amount: Usd
    tokens: int
    created_at: When
    owner: str
    deadline: When | None
    endpoint: str | None
    model: str | None
    upstream: str | None
    observed: dict[str, int] | None
    observed_charge: Usd | None
    display: Display | UnsetType = UNSET


def line_view(line: Line, unit: Unit) -> LineView:
    """The view of a line. Its price may be finer than a nano-dollar, and is shown in full."""
    price = Fraction(Decimal(line.price_nano)) / NANO_PER_USD
    shown = display(unit, amount=line.amount_nano)
    if not isinstance(shown, UnsetType):
        shown["price"] = decimal_string(price * unit.per_usd)
    return LineView(
        meter=line.meter,
        quantity=line.quantity,
        price=decimal_string(price),
        per=line.per,
        amount=usd_string(line.amount_nano),
        steps=[_step_view(step) for step in line.steps] if line.steps else UNSET,
        display=shown,
    )


def _step_view(step: Step) -> StepView:
    """The view of a step. Bounds are amounts of money, and are shown as such."""
    value = decimal_string(step.number / NANO_PER_USD) if step.kind in ("at_least", "at_most") else step.value
    return StepView(kind=step.kind, value=value, name=step.name or UNSET)


def receipt_view(seen: SeenReceipt, unit: Unit) -> ReceiptView:
    """A receipt as its account sees it."""
    row = seen.receipt
    call, outcome, charge = row.call, row.outcome, row.charge
    first_us = outcome.first_byte_at_us
    return ReceiptView(
        id=call.id,
        account_id=call.account_id,
        key_id=call.key_id,
        endpoint=call.endpoint,
        model=call.model,
        end_user=call.end_user or None,
        run_id=call.run_id or None,
        metadata=msgspec.json.decode(call.metadata, type=dict[str, str]) if call.metadata else {},
        stream=call.stream,
        started_at=instant(call.started_at_us),
        first_byte_at=None if first_us is None else instant(first_us),
        ended_at=instant(outcome.ended_at_us),
        outcome=outcome.outcome,
        status=outcome.status,
        basis=outcome.basis,
        usage=outcome.usage,
        inferred=outcome.inferred,
        anomalies=outcome.anomalies,
        attempts=[
            AttemptView(target=each.target, status=each.status, seconds=each.duration_us / 1e6)
            for each in outcome.attempts
        ],
        price_id=charge.price_id,
        lines=[line_view(line, unit) for line in charge.lines],
        total=usd_string(charge.total_nano),
        charged=usd_string(row.charged_nano),
        shortfall=usd_string(row.shortfall_nano),
        owed=usd_string(row.owed_nano),
        refunded=usd_string(seen.refunded_nano),
        hold=usd_string(row.hold_nano),
        display=display(
            unit,
            total=charge.total_nano,
            charged=row.charged_nano,
            shortfall=row.shortfall_nano,
            owed=row.owed_nano,
            refunded=seen.refunded_nano,
            hold=row.hold_nano,
        ),
    )


def admin_receipt_view(row: SeenReceipt, unit: Unit) -> AdminReceiptView:
    """A receipt as the admin sees it."""
    seen = receipt_view(row, unit)
    members = {name: getattr(seen, name) for name in ReceiptView.__struct_fields__}
    return AdminReceiptView(upstream=row.call.upstream, upstream_model=row.call.upstream_model, **members)


def hold_view(hold: SeenHold, unit: Unit) -> HoldView:
    """The view of a hold, with the latest checkpoint of its call."""
    call, observed = hold.call, hold.observed
    if observed is not None and not observed.usage:
        observed = None  # A hold may note something else of its call before anything was used.
    observed_nano = None if observed is None else observed.charge.total_nano
    return HoldView(
        id=hold.id,
        account_id=hold.account_id,
        key_id=hold.key_id,
        state=hold.state,
        amount=usd_string(hold.amount_nano),
        tokens=hold.tokens,
        created_at=instant(hold.created_at_us),
        owner=hold.owner,
        deadline=None if hold.deadline_us is None else instant(hold.deadline_us),
        endpoint=None if call is None else call.endpoint,
        model=None if call is None else call.model,
        upstream=None if call is None else call.upstream,
        observed=None if observed is None else observed.usage,
        observed_charge=None if observed_nano is None else usd_string(observed_nano),
        display=display(unit, amount=hold.amount_nano, observed_charge=observed_nano),
    )
