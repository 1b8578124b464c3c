"""Quantities that an API tells are exact, and what cannot be one is none."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.quantities import quantity_of
from proxy.metering.usage import MAX_QUANTITY, METERS


@pytest.mark.parametrize(
    ("meter", "text", "quantity"),
    [
        ("credits", "2", 2_000_000),
        ("credits", "0", 0),
        ("credits", "1.5", 1_500_000),
        ("credits", "1e2", 100_000_000),
        ("credits", "5E-05", 50),
        ("credits", "0.30000000000000004", 300_000),
        ("upstream_cost", "0.005", 5_000_000),
        ("upstream_cost", "0.00001234", 12_340),
        ("results", "10", 10),
        ("results", "2.5", 3),
        ("results", "10.0", 10),
        ("results", "1e-9", 1),
        ("input_tokens", str(MAX_QUANTITY), MAX_QUANTITY),
        ("credits", str(MAX_QUANTITY), MAX_QUANTITY * 1_000_000),
    ],
)
def test_a_decimal_is_the_exact_number_of_what_its_meter_counts(meter: str, text: str, quantity: int) -> None:
    assert quantity_of(text, meter) == quantity


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "-0.5", "+1", "NaN", "Infinity", "1e99", "1e999999999", "1_0", " 1", "1 ", "1,5", "0x10"),
        *("true", "null", "\u0661", "1.", ".5", "9" * 65, str(MAX_QUANTITY + 1), "1\n"),
    ],
)
@pytest.mark.parametrize("meter", ["credits", "results", "upstream_cost"])
def test_what_is_no_sane_decimal_is_no_quantity(meter: str, text: str) -> None:
    assert quantity_of(text, meter) is None


@given(st.integers(0, 10**14), st.sampled_from(sorted(METERS)))
def test_every_quantity_is_found_again_from_its_decimal(quantity: int, meter: str) -> None:
    """No float is between what an API writes and what is counted."""
    scale = METERS[meter].scale
    quantity %= MAX_QUANTITY * scale
    assert quantity_of(str(Decimal(quantity) / scale), meter) == quantity
