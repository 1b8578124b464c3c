"""Fitting: what a call may hold after all that was refused for its ceiling, and what its client is told."""

from typing import Final

from proxy.call.headers import rate_headers
from proxy.call.off_loop import in_thread
from proxy.call.policy import Policy
from proxy.endpoints.base import Ask
from proxy.errors import Refusal
from proxy.ledger.commands import Refused
from proxy.ledger.refusals import refusal
from proxy.metering.ceiling import Ceiling
from proxy.metering.tokens import COUNTER
from proxy.metering.usage import METERS
from proxy.pricing.cards import RateCard
from proxy.pricing.charge import affordable, worst_nano

BOUND_OVER_COUNT: Final = 32
"""How much larger a bound hardly ever is than what is counted: a token is 4 bytes of text on average."""
COUNTED_BYTES_MAX: Final = 8 * 1024 * 1024
"""Text beyond this is longer than any model reads, and is not counted."""

OF_FUNDS: Final = frozenset(
    {
        *("credit_balance_exhausted", "request_exceeds_balance", "in_flight_budget_exhausted"),
        *("daily_limit_exceeded", "weekly_limit_exceeded", "monthly_limit_exceeded"),
        *("total_limit_exceeded", "key_limit_exceeded"),
    }
)
"""What these refuse may pass with less output, and with an exact count in place of the input's bound."""


def least_useful(ceiling: Ceiling, policy: Policy) -> Ceiling:
    """The least of a ceiling that is worth a call: clamped, where the policy is to clamp."""
    if ceiling.elastic is None or policy.when_short == "refuse":
        return ceiling
    return ceiling.clamped(policy.min_output_tokens if METERS[ceiling.elastic].is_tokens else 1)


def is_worth_counting(refused: Refused, ask: Ask, ceiling: Ceiling, card: RateCard) -> bool:
    """Whether an exact count could tell otherwise: some can, where a request of this size could be paid for.

    A caller without money cannot make Farebox count much. One whose money is only held can: whether the call
    fits once it is free again decides what its client is told.
    """
    if refused.code == "rate_limit_exceeded":
        can_help = not (refused.limit_source or "").endswith("_rpm")
    elif refused.code in OF_FUNDS:
        least = {meter: bound // BOUND_OVER_COUNT for meter, bound in ceiling.fixed.items()}
        can_help = max(1, worst_nano(card, least)) <= _idle_nano(refused)
    else:
        can_help = False
    return can_help and ask.input_text_length() <= COUNTED_BYTES_MAX


def _idle_nano(refused: Refused) -> int:
    """What the bound that is to blame leaves while no call is in flight."""
    if refused.limit_nano is not None:
        return refused.limit_nano - (refused.spent_nano or 0)
    return (refused.available_nano or 0) + (refused.held_nano or 0)


async def exact_ceiling(ask: Ask) -> Ceiling:
    """The ceiling counted exactly, in a thread where that would stall the loop."""
    size = ask.input_text_length()
    if COUNTER.is_quick(size, ask.model):
        return ask.ceiling_exact()
    return await in_thread(size, ask.ceiling_exact)


def refusal_of(refused: Refused, card: RateCard, ceiling: Ceiling) -> Refusal:
    """The client's refusal for a ledger's, with every figure that decided it.

    `affordable_` and the elastic meter is what each choice could still produce for the funds that are left.
    """
    shown = refusal(refused)
    if refused.required_nano is not None:
        shown.details.setdefault("resets_at", None)
        if (elastic := ceiling.elastic) is not None:
            left_nano = max(0, refused.available_nano or 0)
            shown.details[f"affordable_{elastic}"] = affordable(
                card, left_nano, ceiling.usage, elastic, ceiling.choices, beside=ceiling.beside
            )
    if refused.retry_after_us is not None:
        shown.headers["Retry-After-Ms"] = str(-(-refused.retry_after_us // 1_000))
    shown.headers.update(rate_headers(refused))
    return shown
