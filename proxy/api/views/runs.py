"""The views of runs: calls that are billed together."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from proxy.api.paging import Page
from proxy.api.reader import SeenReceipt
from proxy.api.run_reader import Component
from proxy.api.views.money import Display, Usd, When, display, instant
from proxy.money import Unit, usd_string
from proxy.pricing.runs import RUN_MARKUP, RunSum


class RunView(Struct, frozen=True, kw_only=True):
    """What the calls of a run cost by now: `subtotal` without its `markup`, which is rounded once on all."""

    object: Literal["run"] = "run"
    id: str
    subtotal: Usd
    markup: Usd
    total: Usd
    display: Display | UnsetType = UNSET


class ComponentView(Struct, frozen=True, kw_only=True):
    """What the calls of one model or tool in a run cost, with the markup of the run."""

    model: str
    endpoint: str
    calls: int
    total: Usd


class RunStepView(Struct, frozen=True, kw_only=True):
    """One call of a run: what it cost, and what the markup of the run grew by with it. `id` is the call's."""

    id: str
    endpoint: str
    model: str
    outcome: str
    started_at: When
    ended_at: When
    usage: dict[str, int]
    subtotal: Usd
    markup: Usd
    total: Usd


class WholeRunView(RunView, frozen=True, kw_only=True):
    """A run with its components, the dearest first, and a page of its steps, the newest first."""

    components: list[ComponentView]
    steps: Page[RunStepView]


def run_view(run: RunSum, unit: Unit) -> RunView:
    """The view of a run."""
    return RunView(
        id=run.id,
        subtotal=usd_string(run.subtotal_nano),
        markup=usd_string(run.markup_nano),
        total=usd_string(run.total_nano),
        display=display(unit, subtotal=run.subtotal_nano, markup=run.markup_nano, total=run.total_nano),
    )


def component_view(component: Component) -> ComponentView:
    """The view of a component."""
    total = usd_string(component.charge_nano)
    return ComponentView(
        model=component.model, endpoint=component.endpoint, calls=component.calls, total=total
    )


def step_view(seen: SeenReceipt) -> RunStepView:
    """The view of a call as a step of its run."""
    call, outcome, charge = seen.call, seen.receipt.outcome, seen.receipt.charge
    markup_nano = sum(line.amount_nano for line in charge.lines if line.meter == RUN_MARKUP)
    return RunStepView(
        id=call.id,
        endpoint=call.endpoint,
        model=call.model,
        outcome=outcome.outcome,
        started_at=instant(call.started_at_us),
        ended_at=instant(outcome.ended_at_us),
        usage=outcome.usage,
        subtotal=usd_string(charge.total_nano - markup_nano),
        markup=usd_string(markup_nano),
        total=usd_string(charge.total_nano),
    )
