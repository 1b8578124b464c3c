"""Alguna: metered products, priced for a thousand or a million units."""

import pytest

from tests.acceptance.harness import nano
from tests.systems.system import System


@pytest.mark.parametrize(
    ("model", "prompt", "output", "total_nano"),
    [
        ("assistant", 1_000_000, 1, 3_000_015_000),
        ("assistant", 1, 1_000_000, 15_000_003_000),
        ("summarizer", 1_000, 1, 500_000 + 1_500 + 2_000_000),
        ("summarizer", 1, 1_000, 500 + 1_500_000 + 2_000_000),
    ],
)
def test_g2_products_are_priced_for_a_thousand_or_a_million_units(
    system: System, model: str, prompt: int, output: int, total_nano: int
) -> None:
    """Input and output by themselves, and calls beside them."""
    assert system.chat(system.account(), model, prompt, output) == total_nano


def test_g3_tokens_are_summed_and_calls_are_counted(system: System) -> None:
    account = system.account()
    for prompt, output in ((1_000, 10), (200, 30), (4, 5)):
        system.chat(account, "summarizer", prompt, output)
    system.chat(account, "assistant", 7, 8)
    rows = account.api.get("/v1/billing/usage?group_by=model")
    sums = {
        row["group"]: (row["input_tokens"], row["output_tokens"], row["requests"]) for row in rows["data"]
    }
    assert sums == {"summarizer": (1_204, 45, 3), "assistant": (7, 8, 1)}
    total = rows["total"]
    assert (total["input_tokens"], total["output_tokens"], total["requests"]) == (1_211, 53, 4)
    assert nano(total["charged"]) == 10**11 - account.nano("balance")
