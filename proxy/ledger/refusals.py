"""A refusal by the rules as the error that its caller gets."""

from typing import Final

from proxy.errors import Refusal
from proxy.ledger.commands import Refused
from proxy.ledger.windows import iso
from proxy.money import usd_string

_FIGURES: Final[dict[str, str]] = {
    "limit": "limit_nano",
    "spent": "spent_nano",
    "held": "held_nano",
    "required": "required_nano",
    "available": "available_nano",
}


def refusal(refused: Refused) -> Refusal:
    """The error to answer with: figures are decimal strings of US dollars, instants RFC 3339.

    It shows only what decided the refusal. `Retry-After` is in whole seconds, rounded up.
    """
    details: dict[str, object] = {}
    headers: dict[str, str] = {}
    if refused.limit_source is not None:
        details["limit_source"] = refused.limit_source
    figures = {name: getattr(refused, field) for name, field in _FIGURES.items()}
    money = {name: usd_string(nano) for name, nano in figures.items() if nano is not None}
    if money:
        details |= {**money, "currency": "USD"}
    if refused.resets_at_us is not None:
        details["resets_at"] = iso(refused.resets_at_us)
    if refused.retry_after_us is not None:
        headers["Retry-After"] = str(-(-refused.retry_after_us // 1_000_000))
    return Refusal(refused.code, refused.message, details=details, headers=headers)
