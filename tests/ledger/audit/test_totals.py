"""The audit of sums over all accounts: each is the sum of its parts, and is there if any of them is."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from proxy.ledger.audit.accounts import audit
from proxy.ledger.audit.feed import OutOfOrder
from proxy.ledger.audit.rows import Difference, TotalRow, Totals
from proxy.ledger.audit.totals import total_faults
from tests.ledger.audit.test_memory import NOTHING

FIGURES = TotalRow.__struct_fields__[1:]
KEPT = (TotalRow("account/1/a", 3, 30, 20, 15, 600), TotalRow("key/1/k", 1, 10, 0, 5, 100))
PARTS = (
    TotalRow("account/1/a", 1, 10, 0, 5, 100),
    TotalRow("account/1/a", 2, 20, 20, 10, 500),
    TotalRow("key/1/k", 1, 10, 0, 5, 100),
)
IDS = st.sampled_from(["account/1/a", "account/1/b", "key/1/k", "key/10/k", "key/2/k", "model/1/m"])
ROWS = st.builds(TotalRow, IDS, *[st.integers(0, 2**63 - 1)] * len(FIGURES))


def faults(kept: Iterable[TotalRow], parts: Iterable[TotalRow]) -> list[Difference]:
    return list(total_faults(Totals(kept, parts)))


@given(st.lists(ROWS, max_size=12))
def test_what_is_the_sum_of_its_parts_has_no_difference(parts: list[TotalRow]) -> None:
    """However large it is: a database that holds more than it could ever add up is audited all the same."""
    parts.sort(key=lambda row: row.id)
    grouped = {row.id: [astuple(one)[1:] for one in parts if one.id == row.id] for row in parts}
    kept = [TotalRow(id_, *map(sum, zip(*rows, strict=True))) for id_, rows in grouped.items()]
    assert faults(kept, parts) == []


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("place", range(len(KEPT)))
def test_each_figure_that_differs_is_named(place: int, name: str) -> None:
    right = getattr(KEPT[place], name)
    kept = [*KEPT[:place], replace(KEPT[place], **{name: right + 1}), *KEPT[place + 1 :]]
    id_ = KEPT[place].id
    assert faults(kept, PARTS) == [Difference("usage_totals", id_, name, str(right), str(right + 1))]


def test_one_that_is_missing_or_has_no_part_is_told_as_a_row() -> None:
    """Also one of nothing but zeros: it is a line of a report, or is none."""
    zeros = TotalRow("model/1/m", 0, 0, 0, 0, 0)
    missing = [*faults(KEPT[1:], PARTS), *faults(KEPT, [*PARTS, zeros])]
    assert [(one.id, one.column, one.found) for one in missing] == [
        ("account/1/a", "row", "none"),
        ("model/1/m", "row", "none"),
    ]
    extra = [*faults([*KEPT, zeros], PARTS), *faults(KEPT, PARTS[:2])]
    assert [(one.id, one.column, one.found) for one in extra] == [
        ("model/1/m", "row", "one"),
        ("key/1/k", "row", "one"),
    ]


def test_they_are_a_part_of_the_audit_where_they_are_kept() -> None:
    assert list(audit(NOTHING)) == []
    (found,) = audit(replace(NOTHING, totals=Totals((), PARTS[2:])))
    assert found.id == "key/1/k"


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(OutOfOrder):
        faults(KEPT[::-1], PARTS)
    with pytest.raises(OutOfOrder):
        faults(KEPT, PARTS[::-1])
