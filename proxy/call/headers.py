"""What Farebox adds to the reply of a call: its hold, its cost, and its rate limits."""

from proxy.call.base import AdmittedCall
from proxy.call.budget import OutputBudget
from proxy.endpoints.base import Cost
from proxy.ledger.commands import Granted, Refused, Settled
from proxy.money import usd_string
from proxy.pricing.runs import RunSum, run_after


def admission_headers(admitted: AdmittedCall, budget: OutputBudget) -> dict[str, str]:
    """What is known before the first byte: the hold, whether output was clamped, and the rate limits."""
    granted = admitted.granted
    headers = {"x-farebox-hold": usd_string(granted.hold_nano)}
    if granted.rate_statuses:
        headers |= rate_headers(granted)
    if budget.clamped_to is not None:
        headers["x-farebox-output-clamped-to"] = str(budget.clamped_to)
    return headers


def receipt_headers(settled: Settled) -> dict[str, str]:
    """What is known once the charge is on the ledger."""
    headers = {
        "x-farebox-cost": usd_string(settled.charged_nano),
        "x-farebox-balance": usd_string(settled.balance_nano),
    }
    if (run := _run_of(settled)) is not None:
        headers["x-farebox-run-cost"] = usd_string(run.total_nano)
    return headers


def cost_told(settled: Settled) -> Cost:
    """What the usage of an answer tells: the cost and, of a call in a run, what both are made of."""
    cost, run = usd_string(settled.charged_nano), _run_of(settled)
    if settled.charge is None or run is None:
        return cost
    details = {
        "lines": [
            {"meter": line.meter, "amount": usd_string(line.amount_nano)} for line in settled.charge.lines
        ],
        "run": {
            "id": run.id,
            "subtotal": usd_string(run.subtotal_nano),
            "markup": usd_string(run.markup_nano),
            "total": usd_string(run.total_nano),
        },
    }
    return {"cost": cost, "cost_details": details}


def _run_of(settled: Settled) -> RunSum | None:
    return run_after(settled.charge) if settled.charge is not None else None


def rate_headers(result: Granted | Refused) -> dict[str, str]:
    """Where the caller stands with its rate limits: OpenAI's headers, and the plain ones for requests."""
    headers: dict[str, str] = {}
    for status in result.rate_statuses:
        reset = f"{-(-status.reset_us // 1000) / 1000:g}s"
        figures = (("limit", str(status.limit)), ("remaining", str(status.remaining)), ("reset", reset))
        headers |= {f"x-ratelimit-{name}-{status.kind}": text for name, text in figures}
        if status.kind == "requests":
            seconds = str(-(-status.reset_us // 1_000_000))
            headers |= {
                "x-ratelimit-limit": str(status.limit),
                "x-ratelimit-remaining": str(status.remaining),
                "x-ratelimit-reset": seconds,
            }
    return headers
